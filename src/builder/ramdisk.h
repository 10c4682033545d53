// The ramdisks of an image (docs/images.md): "boot" with Cloister's own programs and settings, and "runtime"
// with what applications run on.
#pragma once

#include <map>
#include <string>

#include "builder/work.h"
#include "image/eif_format.h"
#include "image/tree.h"

namespace cloister::builder {

// What the first ramdisk is made of.
struct BootParts {
  image::Architecture architecture = image::Architecture::x86_64;
  std::string init;          // path of cloister-init
  std::string supervisor;    // path of cloisterd
  std::string trust;         // the trust file's text
  std::string command_line;  // the kernel's
  std::map<std::string, std::string> environment;
};
Result<image::FileTree> compose_boot(const BootParts& parts, image::Spool& spool);
// Writes into the first ramdisk what the image has in all, which init compares (boot/completeness.h).
Status add_contents(image::FileTree& boot, const image::FileTree& runtime, image::Spool& spool);

// Refuses a runtime that would take the place of what is in the first ramdisk, which is unpacked before it:
// denied.
Status check_runtime(const image::FileTree& runtime);

// Writes a tree as a compressed ramdisk. The same tree gives the same bytes (with the same libzstd).
Status write_ramdisk(const image::FileTree& tree, const image::Spool& spool, const std::string& path);
// Reads one back; `read` hands its bytes to what it is given.
Result<image::FileTree> read_ramdisk(
    const std::function<Status(const std::function<Status(ByteView)>&)>& read, image::Spool& spool);

}  // namespace cloister::builder
