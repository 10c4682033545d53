// The start of a package file: everything that is needed to ask for the key and to derive the stream's.
#pragma once

#include "package/header.h"

namespace cloister::package {

inline constexpr std::size_t kStreamHeaderSize = 40;            // bytes: 0x28 ‖ salt (32) ‖ nonce prefix (7)
inline constexpr std::size_t kPrefixFixed = kMagic.size() + 4;  // bytes before the header
inline constexpr std::size_t kMaxPrefix = kPrefixFixed + kMaxHeader;

struct RawStart {
  Bytes prefix;  // magic ‖ length ‖ header: every byte before the content, the stream's associated data
  ByteArray<kStreamHeaderSize> stream_header{};
};
struct PackageStart : RawStart {
  Header header;
};

// Reads the bytes and looks at no more of them than the length: for who has them checked by another process
// first. Each byte is read once, and the descriptor is left as by read_start().
Result<RawStart> read_raw_start(int fd);

// Reads from the descriptor's position, each byte exactly once: what is checked is what is used, whatever
// happens to the file. Leaves the position at the first segment. corrupt: not a package, truncated, or a
// malformed header.
Result<PackageStart> read_start(int fd);

// magic ‖ length ‖ header.
Bytes encode_prefix(const Header& header);

// The other direction, over bytes in memory: exactly one prefix.
Result<Header> parse_prefix(ByteView prefix);

}  // namespace cloister::package
