// A job as a client posts it (docs/formats/control.md), checked and turned into the fixed structs that go
// inwards.
#pragma once

#include <memory>
#include <string_view>

#include "enclave/kms_access.h"
#include "enclave/messages.h"

namespace cloister::enclave {

inline constexpr sys::seconds kDefaultGrace{60};
inline constexpr sys::seconds kMinGrace{5};  // a caller takes a moment from the order to following it
inline constexpr sys::seconds kMaxGrace{30 * 24 * 60 * 60};

struct PostedJob {
  std::unique_ptr<JobOrder> order;  // 34 KiB: not on a stack
  KmsAccess kms;
  bool share_output = false;
  sys::seconds grace = kDefaultGrace;  // how long the job goes on while nobody follows it
};

// invalid: not the documented object, or a member over its limit. The id is fresh and random. The text is not
// wiped here: it is the caller's.
Result<PostedJob> parse_posted_job(std::string_view text);

}  // namespace cloister::enclave
