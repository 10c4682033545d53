// FUSE_INIT: what this machine's kernel offers, and what of it a shared folder takes. Pure.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "fuse/limits.h"

namespace cloister::fuse {

struct InitAnswer {
  Bytes reply;               // as written to the device
  bool expire_only = false;  // INVAL_ENTRY may carry FUSE_EXPIRE_ONLY
};

struct InitOptions {
  std::uint32_t max_write = kMaxWrite;
  // Nobody else uses the share: this kernel keeps written pages and locks to itself.
  bool exclusive = false;
};

// `request` is the first message read from the device. invalid: not an INIT. unavailable: a kernel too old.
Result<InitAnswer> answer_init(ByteView request, const InitOptions& options);

}  // namespace cloister::fuse
