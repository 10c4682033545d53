#include "emulator/trusted_roots.h"

#include "attestation/document.h"
#include "sys/file.h"

namespace cloister::emulator {

namespace {

Result<std::vector<crypto::Certificate>> read_roots(const std::string& file) {
  auto pem = TRY(sys::read_file(file, kMaxRootFile));
  return crypto::Certificate::list_from_pem(pem).context(file);
}

}  // namespace

std::vector<crypto::Certificate> TrustedRoots::current() const {
  std::vector<crypto::Certificate> out{attestation::aws_nitro_root()};
  for (const auto& file : files_) {
    auto roots = read_roots(file);
    if (roots) out.insert(out.end(), roots->begin(), roots->end());
  }
  return out;
}

Status TrustedRoots::check() const {
  for (const auto& file : files_) TRY(read_roots(file));
  return {};
}

}  // namespace cloister::emulator
