// How much memory an enclave needs for its image. One rule for whoever advises (image build, doctor) and
// whoever refuses (up).
#pragma once

#include <cstdint>

namespace cloister::image {

// What an image is in memory. Linux keeps ramdisks where the loader put them until they are unpacked, into a
// file system of at most half of the memory that there is beside them.
struct Footprint {
  std::uint64_t packed_bytes = 0;    // the ramdisks as they are in the file
  std::uint64_t content_bytes = 0;   // contents of files in whole pages: what counts against that half
  std::uint64_t unpacked_bytes = 0;  // the same with at least a page for each entry: directories and links
                                     // have their price, too
  bool known = true;                 // false: packed in a way that cannot be looked into, so that only
                                     // packed_bytes says anything
};

// MiB below which it does not come up: measured on emulated machines of Cloister's kernel, up to 2 MiB less
// than the truth for images of 9 to 315 MiB (docs/images.md). Refuse what has less. It leaves nothing for
// folders and applications.
std::uint64_t least_memory_mib(const Footprint& image);
// MiB with which it stands there and has room to breathe, in steps of 64; what applications and folders take
// comes on top.
std::uint64_t advised_memory_mib(const Footprint& image);
// MiB of `memory_mib` that are left for packages, folders and applications once it has come up.
std::uint64_t room_mib(const Footprint& image, std::uint64_t memory_mib);

}  // namespace cloister::image
