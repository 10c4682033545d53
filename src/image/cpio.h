// cpio archives in the "newc" format, which Linux unpacks a ramdisk from (the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst). Written reproducibly: order of names, no
// times, inode numbers by order, owners as in the tree.
#pragma once

#include <functional>
#include <vector>

#include "image/tree.h"

namespace cloister::image {

// Takes all the bytes or fails.
using ByteSink = std::function<Status(ByteView)>;

// The whole archive. Of files that are hard links of each other the last has the content, as is usual.
Status write_cpio(const FileTree& tree, const Spool& spool, const ByteSink& sink);

// Reads an archive that arrives in pieces into a tree; contents go to the spool. After a failure it is
// dropped.
class CpioReader {
 public:
  CpioReader(FileTree& tree, Spool& spool) : tree_(tree), spool_(spool) {
    expect(State::header, kHeaderSize);
  }
  // corrupt: not such an archive. exhausted: a limit of the tree.
  Status write(ByteView bytes);
  // corrupt: its end is missing.
  Status finish();

 private:
  static constexpr std::uint64_t kHeaderSize = 110;  // bytes
  enum class State : std::uint8_t { header, name, name_padding, content, content_padding, ended };

  void expect(State state, std::uint64_t size);
  Status take(ByteView part);
  Status next();
  Status read_header();
  Status read_name();
  Status end_entry();

  FileTree& tree_;
  Spool& spool_;
  State state_ = State::header;
  std::uint64_t missing_ = 0;  // bytes of what is being read
  Bytes piece_;                // a header or name so far
  Node node_;                  // the entry that is being read
  std::uint64_t inode_ = 0;
  std::uint64_t links_ = 0;
  std::uint64_t name_size_ = 0;
  std::string path_;
  std::map<std::uint64_t, std::vector<std::string>> linked_;  // paths of files with several, by inode
};

}  // namespace cloister::image
