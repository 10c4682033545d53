// The emulated security module as the virtio device that Nitro machines have (id 33; drivers/misc/nsm.c is
// the guest's side): one queue, on which a request and the room for its answer come as two chains.
#pragma once

#include <optional>

#include "attestation/nsm.h"
#include "emulator/virtqueue.h"

namespace cloister::emulator {

inline constexpr unsigned kNsmVirtioId = 33;

// The device's side of the queue. Not thread-safe; the module must outlive it.
class NsmVirtio {
 public:
  explicit NsmVirtio(attestation::NsmDevice& module) : module_(module) {}

  // Answers what has come. true: something was given back. invalid: a request larger than the driver sends.
  Result<bool> serve(Virtqueue& queue);

 private:
  Result<Bytes> answer_to(const Chain& request);
  static Status deliver(ByteView answer, const Chain& room, std::uint32_t& written);
  attestation::NsmDevice& module_;
  std::optional<Bytes> answer_;  // to the request whose room has not come yet
};

// The command line of cloister-nsm: --socket, --development-root, --module-id, and --pcr N=HEX for each
// register that is not zero. Serves one machine until it ends. Returns the exit code.
int run_nsm_program(int argc, char** argv);

}  // namespace cloister::emulator
