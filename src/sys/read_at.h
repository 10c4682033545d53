// Reading a file at a place, its size, and files without a name.
#pragma once

#include <string>

#include "base/bytes.h"
#include "sys/fd.h"

namespace cloister::sys {

// All of the buffer, from `offset` on. corrupt: the file ends before.
Status read_at(int fd, std::uint64_t offset, MutableByteView buffer, std::string_view what);

// The size of a regular file. invalid: it is something else.
Result<std::uint64_t> regular_size(int fd, std::string_view what);

// An empty file of mode 0600 below `directory`, without a name: nobody else can open it, and it goes with its
// descriptor, in whatever way the process ends.
Result<Fd> nameless_file(const std::string& directory);

}  // namespace cloister::sys
