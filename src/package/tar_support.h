// For the tests of this room only: tar streams made by hand, the malformed ones too.
#pragma once

#include "package/tar.h"
#include "package/test_support.h"

namespace cloister::package::test {

// Writes `text` at `offset` of the last block and mends its checksum.
inline Bytes patched(Bytes blocks, std::size_t offset, std::string_view text) {
  auto block = MutableByteView(blocks).last(kTarBlock);
  std::ranges::copy(text, block.begin() + static_cast<std::ptrdiff_t>(offset));
  std::ranges::fill(block.subspan(148, 8), ' ');
  unsigned sum = 0;
  for (auto byte : block) sum += byte;
  std::ranges::copy(fmt::format("{:06o}", sum), block.begin() + 148);
  block[154] = 0;
  return blocks;
}

inline Bytes file_entry(std::string path, std::string_view content, std::uint32_t mode = 0644) {
  auto out = encode_tar_entry(
      {.path = std::move(path), .size = content.size(), .mode = mode, .mtime = 1'700'000'000});
  append(out, as_bytes(content));
  out.resize(out.size() + tar_padding(content.size()));
  return out;
}
inline Bytes directory_entry(std::string path, std::uint32_t mode = 0755) {
  return encode_tar_entry({.type = TarType::directory, .path = std::move(path), .mode = mode});
}
inline Bytes link_entry(std::string path, std::string target) {
  return encode_tar_entry(
      {.type = TarType::symlink, .path = std::move(path), .link = std::move(target), .mode = 0777});
}
// A pax header with these records, then a file header.
inline Bytes pax_entry(std::string_view records) {
  auto out = patched(encode_tar_entry({.path = "pax", .size = records.size(), .mode = 0644}), 156, "x");
  append(out, as_bytes(records));
  out.resize(out.size() + tar_padding(records.size()));
  append(out, file_entry("short", ""));
  return out;
}
// The members, then the two zero blocks of the end.
inline Bytes archive(std::initializer_list<Bytes> members) {
  Bytes out;
  for (const auto& member : members) append(out, member);
  out.resize(out.size() + 2 * kTarBlock);
  return out;
}

inline Result<Unpacked> unpack(ByteView tar, const TempTree& target, const UnpackLimits& limits = {},
                               std::size_t piece = 1 << 20) {
  auto directory = target.open();
  Unpacker unpacker(directory, limits);
  for (; !tar.empty(); tar = tar.subspan(std::min(piece, tar.size()))) {
    TRY(unpacker.write(tar.first(std::min(piece, tar.size()))));
  }
  return unpacker.finish();
}

}  // namespace cloister::package::test
