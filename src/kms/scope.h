// Credentials for one thing only: what leaves this machine with a job may decrypt with one key, for a quarter
// of an hour.
#pragma once

#include "kms/arn.h"
#include "kms/sts.h"

namespace cloister::kms {

// kms:Decrypt on this key and nothing else, as a session policy.
SessionScope decrypt_only(const KeyArn& key);

// The role of a session of its, as arn:PARTITION:sts::ACCOUNT:assumed-role/NAME/SESSION names it. The role's
// path is not in there. not_found: the session is of no role.
Result<std::string> role_of_session(std::string_view arn);

// Exchanges credentials for a session of that scope. role: the one to assume; empty: none in particular. Then
// a user's own keys get GetFederationToken, and a role's session assumes the same role anew, which the role's
// trust policy must allow (GetSessionToken takes no policy). denied: these cannot be narrowed so.
Result<Credentials> narrow(const Sts& sts, const Credentials& found, const SessionScope& scope,
                           const std::string& role, const sys::Clock& clock);

}  // namespace cloister::kms
