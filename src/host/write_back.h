// Writing back what this machine's kernel still holds of a mounted folder.
#pragma once

#include <string>

#include "base/result.h"
#include "sys/clock.h"

namespace cloister::host {

// Returns when what was written to the folder has been answered by its pump; at the latest a moment after
// syncfs(2), where other requests keep the folder busy.
Status write_back(const std::string& directory);

// Waits until that file of the kernel's (/sys/fs/fuse/connections/N/waiting) says that no request is on its
// way. Returns false where the deadline came first, or where there is no such file to read.
bool await_no_request(const std::string& waiting, sys::Deadline deadline);

}  // namespace cloister::host
