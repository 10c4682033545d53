// Principals of an installation: users and roles of one or more accounts, and their files of shell lines.
#pragma once

#include "emulator/session.h"
#include "emulator/store.h"

namespace cloister::emulator {

struct NewPrincipal {
  std::string name;
  bool role = false;
  std::string account;                         // empty: the account that owns the keys
  std::optional<std::string> identity_policy;  // JSON
  std::optional<std::string> trust_policy;     // JSON; roles only; absent: default_trust_policy()
};
// A principal and a long-lived access key for it. directory: of the installation, whose ca.pem clients trust.
// invalid: a malformed name, account or policy, or the principal exists.
Status add_principal(Store& store, const std::string& directory, const NewPrincipal& principal,
                     const std::string& env_file, sys::UnixMillis now);

// Temporary credentials of a role that exists. not_found: it does not.
struct SessionRequest {
  std::string role;     // its name
  std::string account;  // empty: the account that owns the keys
  std::string name;
  sys::UnixMillis lifetime = kDefaultSession;
  std::optional<std::string> policy;
};
Status add_session(Store& store, const std::string& directory, const SessionRequest& request,
                   const std::string& env_file, sys::UnixMillis now);

// Whether every character is a-z, 0-9 or in `extra`, and there is one.
bool made_of(std::string_view text, std::string_view extra);
// invalid: not 12 digits.
Status check_account(std::string_view account);

}  // namespace cloister::emulator
