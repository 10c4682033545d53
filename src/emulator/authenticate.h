// Authentication: the SigV4 signature of a request, checked against the stored access key or the session that
// its token carries ("Signature Version 4" of the IAM user guide).
#pragma once

#include "emulator/fault.h"
#include "emulator/store.h"
#include "http/message.h"
#include "iam/policy_eval.h"

namespace cloister::emulator {

// service: of the scope, "kms" or "sts". MissingAuthenticationTokenException, IncompleteSignatureException,
// UnrecognizedClientException (no such access key or token), ExpiredTokenException or
// InvalidSignatureException (wrong signature, scope or date).
Outcome<iam::Caller> authenticate(Store& store, const http::Request& request, std::string_view service,
                                  sys::UnixMillis now);

}  // namespace cloister::emulator
