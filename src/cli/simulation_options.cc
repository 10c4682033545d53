#include "cli/simulation_options.h"

namespace cloister::cli {

Result<std::string> kms_authority(const Context& context, const std::string& given) {
  if (!given.empty()) return given;
  if (auto bundle = context.environment("AWS_CA_BUNDLE"); bundle && !bundle->empty()) return *bundle;
  Error error(ErrorKind::invalid, "a simulated enclave needs the authority of its KMS");
  return std::unexpected(
      std::move(error).with_hint("source the .env file that cloister kms init wrote, or give --kms-ca FILE"));
}

}  // namespace cloister::cli
