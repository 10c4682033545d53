// What `up` and `image measure` have in common about simulated enclaves.
#pragma once

#include <string>

#include "cli/context.h"
#include "host/simulation.h"

namespace cloister::cli {

// The embedded KMS's authority: as given, or AWS_CA_BUNDLE, which the AWS tools use for the same purpose.
Result<std::string> kms_authority(const Context& context, const std::string& given);

}  // namespace cloister::cli
