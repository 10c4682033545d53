// Measurements: the PCRs that identify an enclave image, as nitro-cli build-enclave prints them, and their
// comparison with a document.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "attestation/document.h"

namespace cloister::attestation {

inline constexpr std::size_t kMaxMeasurementsFile = 64 * 1024;  // bytes

// Simulated enclaves' PCRs begin with these 8 bytes, then 40 bytes of SHA-384: nobody can mistake one for a
// real image, whatever the file that carries it says, and a real PCR has this prefix with probability 2^-64.
inline constexpr std::string_view kSimulatedPrefix = "simulate";

// One register: what somebody expects, and what the document says.
struct Comparison {
  unsigned index = 0;
  Pcr expected;
  std::optional<Pcr> found;  // absent: not in the document

  // Why this is no match, "PCR8: not in the document"; empty for a match. Zero matches nothing, on either
  // side.
  std::string difference() const;
};
Comparison compare(const Document& document, unsigned index, const Pcr& expected);

struct Measurements {
  std::map<unsigned, Pcr> pcrs;  // at least PCR0

  // {"Measurements":{"HashAlgorithm":"Sha384 { ... }","PCR0":"<96 hex digits>",…}}. invalid: anything else;
  // zero PCRs.
  static Result<Measurements> from_json(std::string_view json);
  std::string to_json() const;
  bool simulated() const;

  // Every PCR named here must be in the document and equal; all-zero ones never match. denied, naming the
  // first that differs.
  Status check(const Document& document) const;
};

}  // namespace cloister::attestation
