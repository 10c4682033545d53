// The condition keys that every request has ("AWS global condition context keys" of the IAM user guide, and
// kms:CallerAccount).
#pragma once

#include "emulator/api.h"
#include "iam/policy_eval.h"

namespace cloister::emulator {

iam::RequestContext common_context(const iam::Caller& caller, const Peer& peer, const http::Request& request,
                                   const Settings& settings, sys::UnixMillis now);

// "AIDA…" for a user, "AROA…:NAME" for the session NAME of a role.
std::string user_id(const iam::Caller& caller);
// "2026-01-31T12:00:00Z".
std::string iso_time(sys::UnixMillis at);

}  // namespace cloister::emulator
