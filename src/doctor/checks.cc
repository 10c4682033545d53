#include "doctor/checks.h"

namespace cloister::doctor {

Findings examine(const Facts& facts) {
  Findings out;
  check_machine(facts, out);
  check_enclave(facts, out);
  if (facts.asked.backend == "nitro") check_nitro(facts, out);
  check_memory(facts, out);
  check_package(facts, out);
  check_aws(facts, out);
  check_kms(facts, out);
  return out;
}

}  // namespace cloister::doctor
