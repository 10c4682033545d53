// FUSE_INIT: what this machine's kernel offers, and what of it a shared folder takes. Pure.
#pragma once

#include "base/bytes.h"

namespace cloister::fuse {

struct InitAnswer {
  Bytes reply;               // as written to the device
  bool expire_only = false;  // INVAL_ENTRY may carry FUSE_EXPIRE_ONLY
};

// `request` is the first message read from the device. invalid: not an INIT. unavailable: a kernel too old.
Result<InitAnswer> answer_init(ByteView request, std::uint32_t max_write);

}  // namespace cloister::fuse
