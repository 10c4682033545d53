// Unpacker: takes a tar byte stream in pieces of any size and creates what it names below a directory. Trusts
// nothing: every path is resolved by openat2 below the target following no link, nothing is ever overwritten,
// and what is not a plain file, directory or inward symbolic link is refused. Run it in a process without
// keys. Not thread-safe.
#pragma once

#include <cstdint>

#include "package/manifest.h"
#include "package/tar.h"
#include "package/tree.h"
#include "sys/dir.h"

namespace cloister::package {

inline constexpr std::size_t kMaxTarTrailer = 64 * 1024;  // bytes of zeros after the last entry

struct UnpackLimits {
  std::uint64_t max_bytes = kDefaultPackageMib * kMib;  // by unpacked_cost
  std::uint64_t max_entries = kMaxTarEntries;
};

struct Unpacked {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  bool manifest = false;  // whether the first member was .cloister/manifest
};

class Unpacker {
 public:
  // The directory must be empty and must outlive the unpacker.
  Unpacker(const sys::Dir& target, const UnpackLimits& limits) : target_(target), limits_(limits) {}
  Unpacker(const Unpacker&) = delete;
  Unpacker& operator=(const Unpacker&) = delete;

  // corrupt: not our tar; invalid: a member that is refused; exhausted: a limit. After an error only
  // destruction is allowed.
  Status write(ByteView bytes);
  // corrupt: the stream ended early.
  Result<Unpacked> finish();

 private:
  enum class State { header, pax, content, padding, trailer };

  // Each consumes at least one byte and says how many.
  Result<std::size_t> step(ByteView bytes);
  Result<std::size_t> gather(ByteView bytes, std::size_t wanted);
  Result<std::size_t> on_content(ByteView bytes);
  Result<std::size_t> on_padding(ByteView bytes);
  Result<std::size_t> on_trailer(ByteView bytes);

  Status on_block(ByteView block);
  Status on_pax(ByteView padded);
  Status on_entry(TarEntry entry);
  Status account(const TarEntry& entry);
  Status begin_manifest();
  Status begin_file();
  Status end_file();

  const sys::Dir& target_;
  UnpackLimits limits_;
  State state_ = State::header;
  Bytes gathered_;                     // the block or pax header on its way
  std::size_t pax_size_ = 0;           // bytes of the pax header, without padding
  std::optional<PaxRecords> records_;  // of the next member
  TarEntry entry_;                     // the member being read
  sys::Fd file_;
  std::uint64_t left_ = 0;   // bytes of content or padding
  std::uint64_t cost_ = 0;   // bytes, by unpacked_cost
  std::size_t trailer_ = 0;  // bytes of zeros at the end
  Unpacked done_;
};

}  // namespace cloister::package
