// The Nitro Secure Module: requests and responses (CBOR, as the aws-nitro-enclaves-nsm-api crate defines
// them) and the device behind a seam. /dev/nsm: one ioctl with a request and a response buffer (linux/nsm.h:
// NSM_IOCTL_RAW, _IOWR(0x0A, 0x0, struct nsm_raw)).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestation/document.h"

namespace cloister::attestation {

inline constexpr std::size_t kMaxNsmRequest = 0x1000;   // bytes, from the driver
inline constexpr std::size_t kMaxNsmResponse = 0x3000;  // bytes, from the driver

// Anything that answers NSM requests. Thread-safe.
class NsmDevice {
 public:
  virtual ~NsmDevice() = default;
  // unavailable: no device. The reply is not parsed here.
  virtual Result<Bytes> exchange(ByteView request) = 0;
  // The descriptor that it needs to stay open, -1 for none. Owned by the device.
  virtual int descriptor() const { return -1; }
};
// The raw ioctl wants CAP_SYS_ADMIN at the time of each exchange.
Result<std::unique_ptr<NsmDevice>> open_nsm_device(const std::string& path = "/dev/nsm");

struct AttestationRequest {
  std::optional<Bytes> user_data;
  std::optional<Bytes> nonce;
  std::optional<Bytes> public_key;
};
struct PcrState {
  bool locked = false;
  Pcr value;
};
struct NsmDescription {
  std::string module_id;
  unsigned max_pcrs = 0;
  std::vector<unsigned> locked_pcrs;  // ascending
  std::string digest;
  unsigned version_major = 1;
  unsigned version_minor = 0;
  unsigned version_patch = 0;
};

// Typed calls. Errors of the module itself (ReadOnlyIndex, InvalidArgument, …) come back as `denied` or
// `invalid` with its name.
class Nsm {
 public:
  explicit Nsm(NsmDevice& device) : device_(device) {}
  Result<Bytes> attest(const AttestationRequest& request);  // a COSE_Sign1 document
  Result<PcrState> describe_pcr(unsigned index);
  Result<Bytes> extend_pcr(unsigned index, ByteView data);
  Status lock_pcr(unsigned index);
  Status lock_pcrs(unsigned range);  // locks 0..range-1
  Result<NsmDescription> describe();
  Result<Bytes> random();

 private:
  NsmDevice& device_;
};

}  // namespace cloister::attestation
