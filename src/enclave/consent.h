// What the signed terms ask of the caller, held against what the caller has agreed to.
#pragma once

#include "enclave/messages.h"
#include "package/manifest.h"

namespace cloister::enclave {

// denied: the application wants to write to a directory other than output/ that the order does not name; the
// hint says how to agree. invalid: a diagnostic bundle is wanted of an application that makes none.
Status check_consent(const package::Terms& terms, const JobOrder& order);

}  // namespace cloister::enclave
