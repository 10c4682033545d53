// What doctor says: findings, and the list of everything it looks at (docs/doctor.md explains each).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::doctor {

// problem: it will not work. warning: it may not, or not as you think. note: worth knowing.
enum class Severity : std::uint8_t { fine, note, warning, problem };
std::string_view to_string(Severity severity);

struct Check {
  std::string_view id;
  std::string_view group;
};
// In the order of the report.
inline constexpr std::array kChecks = {
    Check{"kernel", "this machine"},
    Check{"root", "this machine"},
    Check{"user-namespaces", "this machine"},
    Check{"landlock", "this machine"},
    Check{"cgroup", "this machine"},
    Check{"python", "this machine"},
    Check{"run-space", "this machine"},
    Check{"fuse", "the shared folder"},
    Check{"fusermount", "the shared folder"},
    Check{"enclave-name", "the enclave"},
    Check{"image-file", "the enclave"},
    Check{"image-architecture", "the enclave"},
    Check{"image-mode", "the enclave"},
    Check{"qemu-programs", "the enclave"},
    Check{"qemu-version", "the enclave"},
    Check{"qemu-kvm", "the enclave"},
    Check{"nitro-device", "the enclave"},
    Check{"nitro-cli", "the enclave"},
    Check{"nitro-group", "the enclave"},
    Check{"nitro-vsock", "the enclave"},
    Check{"allocator", "the enclave"},
    Check{"cpus", "the enclave"},
    Check{"memory-image", "memory"},
    Check{"memory-file", "memory"},
    Check{"memory-host", "memory"},
    Check{"memory-node", "memory"},
    Check{"memory-work", "memory"},
    Check{"memory-limit", "memory"},
    Check{"data-folder", "memory"},
    Check{"package-file", "the package"},
    Check{"package-signer", "the package"},
    Check{"package-region", "the package"},
    Check{"region", "AWS"},
    Check{"credentials", "AWS"},
    Check{"credentials-expiry", "AWS"},
    Check{"metadata", "AWS"},
    Check{"metadata-v1", "AWS"},
    Check{"metadata-role", "AWS"},
    Check{"kms", "AWS"},
    Check{"kms-authority", "AWS"},
    Check{"clock", "AWS"},
    Check{"kms-right", "AWS"},
    Check{"proxy", "AWS"},
};

struct Finding {
  std::string_view id;  // of kChecks
  Severity severity = Severity::fine;
  std::string what;  // one sentence
  std::string mend;  // what to type, or to do; empty: nothing
};

class Findings {
 public:
  void fine(std::string_view id, std::string what) { add({id, Severity::fine, std::move(what), {}}); }
  void note(std::string_view id, std::string what, std::string mend = {}) {
    add({id, Severity::note, std::move(what), std::move(mend)});
  }
  void warn(std::string_view id, std::string what, std::string mend) {
    add({id, Severity::warning, std::move(what), std::move(mend)});
  }
  void problem(std::string_view id, std::string what, std::string mend) {
    add({id, Severity::problem, std::move(what), std::move(mend)});
  }
  const std::vector<Finding>& all() const { return all_; }
  std::size_t count(Severity severity) const;

 private:
  void add(Finding finding) { all_.push_back(std::move(finding)); }
  std::vector<Finding> all_;
};

}  // namespace cloister::doctor
