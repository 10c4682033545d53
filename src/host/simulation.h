// What a simulated enclave is made of on this machine, and its measurements. Deterministic: the owner and the
// user of a package compute the same from the same binary, the same KMS authority and the same distribution.
#pragma once

#include <string>

#include "attestation/measurements.h"

namespace cloister::host {

struct Simulation {
  std::string supervisor;    // path of the cloisterd-sim binary
  std::string trust_file;    // path, written below `directory`
  std::string runtime_file;  // path, likewise
  attestation::Measurements measurements;
};

// Composes the trust file around the KMS authority in kms_ca (PEM file), describes this machine's runtime,
// and measures all three. not_found: no cloisterd-sim beside this program, or no kms_ca.
Result<Simulation> compose_simulation(const std::string& directory, const std::string& kms_ca);

// The trust file's text (docs/formats/trust.md) and the runtime's description.
std::string simulated_trust(std::string_view kms_ca_pem);
std::string describe_runtime(std::string_view os_release);

}  // namespace cloister::host
