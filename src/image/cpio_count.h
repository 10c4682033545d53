// How large a ramdisk's archive is once Linux has unpacked it. Reads headers and passes over contents, so
// that it takes no room; takes what the kernel takes, several archives in a row included.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace cloister::image {

struct CpioCount {
  std::uint64_t entries = 0;
  std::uint64_t content_bytes = 0;   // of files, in whole pages
  std::uint64_t unpacked_bytes = 0;  // the same, with at least a page for each entry
};

// Takes the bytes in pieces. After a failure it is dropped.
class CpioCounter {
 public:
  // corrupt: not a newc archive.
  Status write(ByteView bytes);
  // corrupt: its end is missing.
  Result<CpioCount> finish() const;

 private:
  enum class State : std::uint8_t { header, name, passing, between };

  Status next();
  Status read_header();
  void read_name();
  State state_ = State::between;
  std::uint64_t missing_ = 0;     // bytes of what is being read or passed over
  Bytes piece_;                   // of a header or name, so far
  std::uint64_t after_name_ = 0;  // bytes: padding, content and padding
  CpioCount count_;
  CpioCount entry_;  // what the entry adds, if it is one
  bool any_ = false;
};

}  // namespace cloister::image
