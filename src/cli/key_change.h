// Changing who may decrypt with a key: what `key` and `image build` have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/context.h"
#include "host/key_policy.h"

namespace cloister::cli {

sys::Deadline soon();  // for one request to KMS

// A key as the person gave it (ARN, id or alias), and the policy that it has now.
struct Opened {
  kms::Client client;
  kms::KeyMetadata key;
  std::string policy;
};

Result<Opened> open_key(const Context& context, const std::string& name);

using Change = std::function<Status(host::KeyAccess&)>;
// The policy as it would be.
Result<std::string> changed_policy(const Opened& opened, const Change& change);
// Read, change, look again, write, look again: KMS has no conditional write, so that what somebody else wrote
// meanwhile can be noticed only (unavailable).
Status change_policy(Opened& opened, const Change& change);

// To whom, for what and until when an image may decrypt, as a person says it.
struct GrantTerms {
  std::vector<std::string> releases;
  std::vector<std::string> names;
  std::vector<std::string> signers;
  std::vector<std::string> principals;
  std::string until;
  bool replace = false;
};
void add_grant_terms(Command& command, GrantTerms& terms);
// invalid: an unknown signer, no time.
Result<Change> change_to_allow(const Context& context, const GrantTerms& terms,
                               const std::vector<std::string>& pcr0s);

}  // namespace cloister::cli
