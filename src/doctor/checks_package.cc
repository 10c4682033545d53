#include <fmt/format.h>

#include "doctor/checks.h"

namespace cloister::doctor {

void check_package(const Facts& facts, Findings& out) {
  if (!facts.package) return;
  const auto& package = *facts.package;
  if (!package.error.empty()) {
    out.problem("package-file", package.error,
                package.hint.empty() ? "copy it again from its owner" : package.hint);
    return;
  }
  out.fine("package-file", fmt::format("{} is the package {}", facts.asked.package, package.name));
  if (package.signer_known)
    out.fine("package-signer", "you know its signer");
  else
    out.problem("package-signer", "you do not know the package's signer, so `run` refuses it",
                fmt::format("compare what `cloister inspect {}` shows with the owner, then: cloister signer "
                            "add NAME FINGERPRINT",
                            facts.asked.package));
  if (package.region.empty() || facts.region.empty()) return;
  if (package.region != facts.region)
    out.warn(
        "package-region",
        fmt::format("the package's key is in {}, and your region is {}: the proxy would let the enclave go "
                    "to the wrong one",
                    package.region, facts.region),
        fmt::format("export AWS_REGION={0}; cloister proxy --stop; cloister proxy -s kms", package.region));
  else
    out.fine("package-region", fmt::format("its key is in {}", package.region));
}

}  // namespace cloister::doctor
