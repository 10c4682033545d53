// Sink: where bytes go next. Every stage of packing and unpacking pushes into one, so that memory stays
// constant.
#pragma once

#include <functional>

#include "base/bytes.h"

namespace cloister::package {

// Takes all the bytes or fails; the view is valid during the call only. After a failure the stage is dropped.
using Sink = std::function<Status(ByteView)>;

}  // namespace cloister::package
