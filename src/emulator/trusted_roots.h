// TrustedRoots: whose attestation documents are believed, AWS's root and development roots in PEM files. The
// files are read at every use: one that is made or replaced after the service has started counts from then
// on. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "crypto/x509.h"

namespace cloister::emulator {

inline constexpr std::size_t kMaxRootFile = 64 * 1024;  // bytes

class TrustedRoots {
 public:
  explicit TrustedRoots(std::vector<std::string> development_files = {})
      : files_(std::move(development_files)) {}

  // What can be read now.
  std::vector<crypto::Certificate> current() const;
  // The first development root that cannot be read, and why: worth a warning, not a failure.
  Status check() const;

 private:
  std::vector<std::string> files_;
};

}  // namespace cloister::emulator
