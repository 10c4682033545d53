// What a FUSE message may hold at most. Both ends of the shared folder compile it in; the hello reply tells
// the client the server's kMaxWrite.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cloister::fuse {

inline constexpr std::uint32_t kMaxWrite = 1024 * 1024;  // bytes of file data in one request or reply
inline constexpr std::size_t kMaxOverhead = 4096;        // bytes of headers and names around them
inline constexpr std::size_t kMaxMessage =
    kMaxWrite + kMaxOverhead;                             // bytes of one FUSE message, header included
inline constexpr std::size_t kMaxSymlink = 4095;          // bytes of a link's target (PATH_MAX less the NUL)
inline constexpr std::size_t kMaxXattrValue = 64 * 1024;  // bytes (XATTR_SIZE_MAX)
inline constexpr std::size_t kMaxForgets = kMaxMessage / 16;  // entries of one BATCH_FORGET

}  // namespace cloister::fuse
