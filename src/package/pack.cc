#include "package/pack.h"

#include "package/keys.h"
#include "package/start.h"
#include "package/stream_writer.h"
#include "package/tree.h"
#include "package/unpacker.h"
#include "sys/file.h"

namespace cloister::package {

namespace {

constexpr std::string_view kWhat = "package";

// What the package will be must pass the limits that it states.
Status check_limits(const Manifest& manifest, TreeSize size, bool stored) {
  if (stored) {
    size.entries += 1;
    size.unpacked += unpacked_cost(manifest.encode().size());
  }
  if (size.entries > kMaxTarEntries)
    return fail(ErrorKind::invalid, "more than {} files and directories", kMaxTarEntries);
  if (size.unpacked > manifest.terms.limits.package_mib * kMib) {
    return fail(ErrorKind::invalid, "the files take {} MiB unpacked and the limit package_mib is {}",
                (size.unpacked + kMib - 1) / kMib, manifest.terms.limits.package_mib);
  }
  return {};
}

// Everything but the key's part and the signature.
Result<Header> begin_header(const PackOptions& options, const crypto::PrivateKey& signer,
                            const TreeSize& size) {
  auto manifest = options.manifest.value_or(Manifest{});
  TRY(manifest.check().context("manifest"));
  TRY(check_limits(manifest, size, options.manifest.has_value()));
  Header header;
  header.name = options.name;
  header.release = options.release;
  header.extra_context = options.extra_context;
  header.public_manifest = manifest.public_part();
  if (options.manifest) header.manifest_digest = crypto::sha256(options.manifest->encode());
  TRY(check_label(header.name, "name"));
  TRY(check_label(header.release, "release"));
  TRY(check_extra_context(header.extra_context));
  // Not the final signature: it sets the signer, whom the encryption context names.
  TRY(header.sign(signer));
  return header;
}

Status complete_header(Header& header, const DataKey& key, const crypto::PrivateKey& signer) {
  header.key_arn = key.key_arn;
  header.wrapped_keys = {key.wrapped};
  header.commitment = TRY(commit_to(key.plaintext));
  TRY(header.check());
  TRY(header.sign(signer));
  if (header.encode().size() > kMaxHeader)
    return fail(ErrorKind::invalid, "the header is larger than {} bytes", kMaxHeader);
  return {};
}

Status write_content(const Source& source, const PackOptions& options, const TreeSize& size,
                     const StreamKey& key, int out_fd) {
  SegmentWriter segments(key, [&](ByteView bytes) { return sys::write_all(out_fd, bytes, kWhat); });
  Compressor compressor(options.compression_level, [&](ByteView bytes) { return segments.write(bytes); });
  std::optional<Bytes> manifest;
  if (options.manifest) manifest = options.manifest->encode();
  TreeProgress progress;
  if (options.progress)
    progress = [&](std::uint64_t done) { options.progress({.done = done, .total = size.bytes}); };
  TRY(source.write(manifest, [&](ByteView bytes) { return compressor.write(bytes); }, progress));
  TRY(compressor.finish());
  return segments.finish();
}

}  // namespace

Result<Header> write_package(const Source& source, const PackOptions& options, DataKeySource& keys,
                             const crypto::PrivateKey& signer, int out_fd) {
  if (options.compression_level < kMinLevel || options.compression_level > kMaxLevel) {
    return fail(ErrorKind::invalid, "compression level {} ({} to {} allowed)", options.compression_level,
                kMinLevel, kMaxLevel);
  }
  auto size = TRY(source.survey());
  auto header = TRY(begin_header(options, signer, size));
  auto key = TRY(keys.generate(header.encryption_context()));
  TRY(complete_header(header, key, signer));

  auto prefix = encode_prefix(header);
  auto stream_header = make_stream_header();
  auto stream_key = TRY(derive_stream_key(key.plaintext, prefix, stream_header));
  key.plaintext.wipe();
  TRY(sys::write_all(out_fd, prefix, kWhat));
  TRY(sys::write_all(out_fd, stream_header, kWhat));
  TRY(write_content(source, options, size, stream_key, out_fd));
  return header;
}

Result<Header> write_package(const sys::Dir& source, const PackOptions& options, DataKeySource& keys,
                             const crypto::PrivateKey& signer, int out_fd) {
  return write_package(DirectorySource(source), options, keys, signer, out_fd);
}

}  // namespace cloister::package
