// The start of a package file: everything that is needed to ask for the key and to derive the stream's.
#pragma once

#include "package/header.h"

namespace cloister::package {

inline constexpr std::size_t kStreamHeaderSize = 40;            // bytes: 0x28 ‖ salt (32) ‖ nonce prefix (7)
inline constexpr std::size_t kPrefixFixed = kMagic.size() + 4;  // bytes before the header
inline constexpr std::size_t kMaxPrefix = kPrefixFixed + kMaxHeader;

struct PackageStart {
  Bytes prefix;  // magic ‖ length ‖ header: every byte before the content, the stream's associated data
  Header header;
  ByteArray<kStreamHeaderSize> stream_header{};
};

// Reads from the descriptor's position, each byte exactly once: what is checked is what is used, whatever
// happens to the file. Leaves the position at the first segment. corrupt: not a package, truncated, or a
// malformed header.
Result<PackageStart> read_start(int fd);

// magic ‖ length ‖ header.
Bytes encode_prefix(const Header& header);

// The other direction, over bytes in memory: exactly one prefix.
Result<Header> parse_prefix(ByteView prefix);

}  // namespace cloister::package
