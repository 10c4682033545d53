// What is wrong with the Authorization field of a request, in the words of AWS: parse_authorization() only
// says that something is.
#pragma once

#include "emulator/fault.h"
#include "http/message.h"
#include "kms/sigv4.h"

namespace cloister::emulator {

// MissingAuthenticationTokenException, IncompleteSignatureException or InvalidSignatureException. Never
// quotes the field: callers put secrets in the wrong place.
Outcome<kms::ParsedAuthorization> read_authorization(const http::Request& request);

}  // namespace cloister::emulator
