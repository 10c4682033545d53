// This room's operations answer with errno values, as FUSE carries them (fuse/outcome.h).
#pragma once

#include "fuse/outcome.h"

namespace cloister::share {

using fuse::Outcome;
using fuse::refuse;
using fuse::refuse_errno;

}  // namespace cloister::share
