// The shapes of AWS's identifiers for credentials ("IAM identifiers" of the IAM user guide).
#pragma once

#include <string>
#include <string_view>

#include "base/secret.h"

namespace cloister::emulator {

inline constexpr std::string_view kLongLived = "AKIA";  // access keys of users
inline constexpr std::string_view kTemporary = "ASIA";  // access keys of sessions

std::string random_access_key_id(std::string_view prefix);
Secret random_secret_access_key();
// "AIDA…" of a user, "AROA…" of a role: the same for one ARN in every installation.
std::string unique_id(std::string_view principal_arn);

}  // namespace cloister::emulator
