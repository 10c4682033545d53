// Which credentials go into the enclave with a job.
#pragma once

#include "cli/context.h"

namespace cloister::cli {

struct CredentialWish {
  std::string mode;  // "scoped", "as-is", or empty: scoped where it can be had
  std::string role;  // ARN of the role whose session the enclave gets; empty: none in particular
  // invalid: another mode, or a role that would not be used.
  Status check() const;
};

// What is found on this machine, exchanged for a session of 15 minutes that may only decrypt with the
// package's key. Where that cannot be had, one line on stderr says so and the credentials go as they are;
// with `scoped` it is an error. package: relative to the enclave's folder, mounted on this machine.
Result<kms::Credentials> job_credentials(const Context& context, const CredentialWish& wish,
                                         const std::string& enclave, const std::string& package);

}  // namespace cloister::cli
