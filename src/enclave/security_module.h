// The security module's process. /dev/nsm answers root with CAP_SYS_ADMIN alone (drivers/misc/nsm.c), which
// the keeper, who parses what KMS says, must not be. So the device has a process of its own that carries
// requests and answers and parses neither.
#pragma once

#include <memory>
#include <mutex>

#include "attestation/nsm.h"
#include "sys/message_socket.h"

namespace cloister::enclave {

inline constexpr sys::milliseconds kModuleTimeout = sys::seconds(10);  // for one exchange

// Serves one exchange at a time until the peer is gone. A device that fails is told to the peer.
Status run_security_module(const sys::MessageSocket& peer, attestation::NsmDevice& device);

// The device as another process of the enclave has it. Thread-safe: exchanges queue.
class RemoteNsm final : public attestation::NsmDevice {
 public:
  explicit RemoteNsm(sys::MessageSocket module) : module_(std::move(module)) {}

  // unavailable: the module's process is gone or silent; it is not asked again. Else the device's own errors.
  Result<Bytes> exchange(ByteView request) override;
  int descriptor() const override { return module_.descriptor(); }

 private:
  Result<Bytes> ask(ByteView request);
  std::mutex mutex_;  // guards module_: an answer belongs to the request before it
  sys::MessageSocket module_;
  bool lost_ = false;
};

}  // namespace cloister::enclave
