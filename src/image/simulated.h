// Measurements of a simulated enclave: there is no image, so what would be in one is hashed in its place,
// under domain tags of its own. They begin with attestation::kSimulatedPrefix: no file, flag or label is
// needed to tell them from a real image's.
#pragma once

#include <string>

#include "attestation/measurements.h"
#include "crypto/digest.h"

namespace cloister::image {

struct SimulatedParts {
  crypto::Sha384 supervisor{};  // the cloisterd-sim binary
  crypto::Sha384 trust{};       // its trust file
  crypto::Sha384 runtime{};     // its runtime description: which system directories jobs see
};

// Hashes the three files.
Result<SimulatedParts> measure_parts(const std::string& supervisor, const std::string& trust,
                                     const std::string& runtime);

// PCR0 over all three, PCR1 over supervisor and trust file, PCR2 over the runtime; PCR n = "simulate" ‖ the
// first 40 bytes of SHA-384("cloister/simulated/pcr<n>/v1" ‖ parts).
attestation::Measurements simulated_measurements(const SimulatedParts& parts);

}  // namespace cloister::image
