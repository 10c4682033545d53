// The nitro backend: a real enclave, by AWS's nitro-cli. What vouches for it is AWS's own root, compiled in:
// nothing that this machine says about the enclave is believed.
#pragma once

#include "host/backend.h"
#include "host/nitro_cli.h"

namespace cloister::host {

inline constexpr const char* kNitroBackend = "nitro";
inline constexpr sys::milliseconds kNitroAnswerTimeout =
    sys::seconds(20);  // from the heartbeat to the first connection

// What nitro-cli is asked for: options, else what the image asks for, raised to what nitro-cli and the
// processors allow. invalid: a number that cannot be.
struct ImageFacts {
  std::string path;
  std::uint64_t bytes = 0;           // of the file
  std::uint64_t default_memory = 0;  // bytes
  std::uint64_t default_cpus = 0;
};
Result<NitroRun> plan_nitro_run(const UpOptions& options, const ImageFacts& image, unsigned threads_per_core);

// The name is free and held. invalid: no image, or one for another processor. not_found: no nitro-cli.
// corrupt: a damaged image, or nitro-cli started another one. Everything else as nitro_error() says. Whatever
// fails, no enclave stays.
Result<EnclaveRecord> start_nitro_enclave(const Paths& paths, const Environment& environment,
                                          const UpOptions& options, const HeldSignals& held);
Status stop_nitro_enclave(const EnclaveRecord& record, const Environment& environment);
EnclaveState nitro_state_of(const EnclaveRecord& record, const Environment& environment);

}  // namespace cloister::host
