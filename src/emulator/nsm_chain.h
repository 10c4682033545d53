// The certificates above an emulated module's signing key, in the shape of real ones: root, regional, zonal,
// instance, leaf.
#pragma once

#include <string>
#include <vector>

#include "emulator/development_root.h"

namespace cloister::emulator {

// A signing key and the certificate that the instance issued for it.
struct NsmLeaf {
  crypto::PrivateKey key;
  crypto::Certificate certificate;
};

class NsmChain {
 public:
  // The authorities are valid as long as the root.
  static Result<NsmChain> issue(const DevelopmentRoot& root, const std::string& module_id);

  // P-384, valid for 3 hours from `now`.
  Result<NsmLeaf> issue_leaf(sys::UnixMillis now) const;
  const std::vector<Bytes>& cabundle() const { return cabundle_; }  // DER, root first

 private:
  NsmChain(std::string module_id, std::vector<Bytes> cabundle, NsmLeaf instance)
      : module_id_(std::move(module_id)), cabundle_(std::move(cabundle)), instance_(std::move(instance)) {}
  std::string module_id_;
  std::vector<Bytes> cabundle_;
  NsmLeaf instance_;
};

}  // namespace cloister::emulator
