// The blobs of a container image: files named by their SHA-256.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "builder/work.h"
#include "crypto/digest.h"

namespace cloister::builder {

// The files of an image, in a folder. One that comes as a tar is unpacked into a temporary one: regular files
// alone, under checked names. Names are resolved below the folder, no link is followed.
class BlobFolder {
 public:
  static Result<BlobFolder> open(const std::string& path);

  bool has(const std::string& name) const;
  // "index.json"; not_found, exhausted.
  Result<Bytes> read(const std::string& name, std::size_t max) const;
  // The blob of "sha256:…" as text. corrupt: the digest is another.
  Result<std::string> read_json(const std::string& digest) const;
  // A blob's or a file's path for reading, a blob's digest compared first.
  Result<std::string> blob(const std::string& digest) const;
  Result<std::string> file(const std::string& name) const;

 private:
  explicit BlobFolder(std::string root) : root_(std::move(root)) {}
  std::optional<WorkFolder> unpacked_;
  std::string root_;
};

// Writes a layer's tar stream, whatever it is compressed with (gzip, zstd, none), to a file, and gives its
// SHA-256 as "sha256:…". exhausted: larger than `max` bytes unpacked.
Result<std::string> unpack_layer(const std::string& from, const std::string& to, std::uint64_t max);

}  // namespace cloister::builder
