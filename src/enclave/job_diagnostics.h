// What is kept of an application's stderr for its owner, and the bundle that is made of it.
#pragma once

#include <cstdint>
#include <string>

#include "package/header.h"
#include "sys/fd.h"

namespace cloister::enclave {

// Owned by a launcher; one thread.
class JobDiagnostics {
 public:
  // Keeps the last bytes, at least package::kMaxDiagnosticStderr of them and at most twice as many.
  void add(ByteView standard_error);
  // Sealed to the owner whom the header names, as a file in memory at its beginning. end: how the run ended.
  Result<sys::Fd> bundle(const package::Header& header, std::string entry, std::string end) const;

 private:
  Bytes kept_;
  std::uint64_t dropped_ = 0;  // bytes
};

}  // namespace cloister::enclave
