#include "package/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "sys/file.h"

namespace cloister::package {

namespace {

constexpr std::size_t kReadChunk = 128 * 1024;  // bytes

// Whether the unpacked tree has a .cloister of whatever kind.
Result<bool> has_reserved(const sys::Dir& unpacked) {
  struct stat info{};
  if (::fstatat(unpacked.descriptor(), std::string(kReservedDirectory).c_str(), &info, AT_SYMLINK_NOFOLLOW) ==
      0)
    return true;
  if (errno == ENOENT) return false;
  return fail_errno(kReservedDirectory);
}

}  // namespace

ContentUnpacker::ContentUnpacker(const sys::Dir& target, const UnpackLimits& limits)
    : unpacker_(target, limits), decompressor_([this](ByteView bytes) { return unpacker_.write(bytes); }) {}

Result<Unpacked> ContentUnpacker::finish() {
  TRY(decompressor_.finish());
  return unpacker_.finish();
}

Result<Unpacked> unpack_stream(int in_fd, const sys::Dir& target, const UnpackLimits& limits) {
  ContentUnpacker unpacker(target, limits);
  Bytes buffer(kReadChunk);
  for (;;) {
    ssize_t n = ::read(in_fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("content");
    if (n == 0) return unpacker.finish();
    TRY(unpacker.write(ByteView(buffer).first(static_cast<std::size_t>(n))));
  }
}

UnpackLimits unpack_limits(const Header& header) {
  return {.max_bytes = header.public_manifest.terms.limits.package_mib * kMib};
}

Result<Manifest> load_manifest(const sys::Dir& unpacked, const Header& header) {
  if (!header.manifest_digest) {
    if (TRY(has_reserved(unpacked)))
      return fail(ErrorKind::corrupt, "a manifest that the package's header denies");
    return Manifest{};
  }
  auto file = TRY(unpacked.open_regular(kManifestPath).context("manifest"));
  auto bytes = TRY(sys::read_all(file.get(), kMaxManifest, "manifest"));
  if (!equal_constant_time(crypto::sha256(bytes), *header.manifest_digest)) {
    return fail(ErrorKind::corrupt, "the manifest is not the one that the package's header names");
  }
  auto manifest = TRY(Manifest::parse(bytes));
  if (manifest.public_part() != header.public_manifest) {
    return fail(ErrorKind::corrupt, "the manifest contradicts the terms in the package's header");
  }
  return manifest;
}

}  // namespace cloister::package
