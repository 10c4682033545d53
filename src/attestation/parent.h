// The parent of an enclave: the instance that it runs on, as a document names it (module_id) and as it
// measures it (PCR3, PCR4). Source: AWS Nitro Enclaves user guide, "Where to get an enclave's measurements".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "attestation/document.h"

namespace cloister::attestation {

inline constexpr unsigned kRolePcr = 3;
inline constexpr unsigned kInstancePcr = 4;

// "i-020b6af9246d90e92-enc0183d09086c24190" in its two halves.
struct Module {
  std::string instance;  // "i-020b6af9246d90e92"
  std::string enclave;   // "enc0183d09086c24190"

  // Nothing for a module_id of another form, as emulated modules have.
  static std::optional<Module> parse(std::string_view module_id);
};

// "i-" and 8 or 17 lowercase hexadecimal digits.
bool is_instance_id(std::string_view text);

// A register that was extended once, from zero: SHA-384(48 zero bytes ‖ text). The text of PCR4 is the
// instance id (true of real documents: judge_test.cc), that of PCR3 the ARN of the instance's IAM role.
Pcr pcr_of(std::string_view text);

}  // namespace cloister::attestation
