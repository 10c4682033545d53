// Counters in a file that one process maps and others read: asking the process would need a protocol.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "sys/file.h"

namespace cloister::host {

// Counters: a struct of lock-free atomics. The page outlives the descriptor and, mapped shared, a fork.
template <class Counters>
class SharedPage {
 public:
  static Result<SharedPage> create(const std::string& path) {
    ::unlink(path.c_str());  // never truncated: an older process may still have it mapped
    sys::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file || ::ftruncate(file.get(), sizeof(Counters)) != 0) return fail_errno(path);
    void* memory = ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED) return fail_errno(path);
    return SharedPage(new (memory) Counters);
  }
  Counters* get() const { return memory_.get(); }
  Counters& operator*() const { return *memory_; }

 private:
  struct Unmap {
    void operator()(Counters* memory) const { ::munmap(memory, sizeof *memory); }
  };
  explicit SharedPage(Counters* memory) : memory_(memory) {}
  std::unique_ptr<Counters, Unmap> memory_;
};

// Snapshot: the same struct with plain numbers. nullopt: no such page, or one of another release.
template <class Snapshot, class Counters>
std::optional<Snapshot> read_page(const std::string& path) {
  static_assert(sizeof(Snapshot) == sizeof(Counters));
  auto bytes = sys::read_file(path, sizeof(Snapshot));
  if (!bytes || bytes->size() != sizeof(Snapshot)) return std::nullopt;
  Snapshot out;
  std::memcpy(&out, bytes->data(), sizeof out);
  return out;
}

}  // namespace cloister::host
