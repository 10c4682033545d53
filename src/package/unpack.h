// Opening a package's plaintext: zstd → tar → files, and the manifest that comes with them.
#pragma once

#include "package/header.h"
#include "package/manifest.h"
#include "package/unpacker.h"
#include "package/zstd_stream.h"

namespace cloister::package {

// The plaintext of a content, in pieces of any size; what decrypt_segments() pushes into when one process
// does it all.
class ContentUnpacker {
 public:
  ContentUnpacker(const sys::Dir& target, const UnpackLimits& limits);
  ContentUnpacker(const ContentUnpacker&) = delete;  // the stages point to each other
  ContentUnpacker& operator=(const ContentUnpacker&) = delete;
  Status write(ByteView plaintext) { return decompressor_.write(plaintext); }
  Result<Unpacked> finish();

 private:
  Unpacker unpacker_;
  Decompressor decompressor_;
};

// The same from a pipe, up to its end: for the process without keys.
Result<Unpacked> unpack_stream(int in_fd, const sys::Dir& target, const UnpackLimits& limits);

// What the header allows to be unpacked: limits.package_mib of its public manifest.
UnpackLimits unpack_limits(const Header& header);

// The manifest of an unpacked package, held against its signed header: there iff the header says so, with the
// digest that the header says, and with exactly the public part that its user saw. Without one, the defaults.
// corrupt: any difference.
Result<Manifest> load_manifest(const sys::Dir& unpacked, const Header& header);

}  // namespace cloister::package
