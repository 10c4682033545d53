#include "host/legacy_package.h"

#include <fcntl.h>

#include "host/manifest_yaml.h"
#include "package/header.h"
#include "sys/file.h"
#include "sys/read_at.h"

namespace cloister::host {

namespace {

constexpr std::size_t kLengthSize = 4;  // bytes
constexpr const char* kShapeHint =
    "give the file that the sample's envelope_encryptor.py wrote, application_code.zip.encrypted";

std::unexpected<Error> not_legacy(const std::string& path, std::string_view why,
                                  std::string hint = kShapeHint) {
  Error error(ErrorKind::invalid, fmt::format("{}: not a package of the sample: {}", path, why));
  return std::unexpected(std::move(error).with_hint(std::move(hint)));
}

// What the first four bytes say of the key's length.
Result<std::size_t> key_length(ByteView head, const std::string& path, std::uint64_t file_size) {
  if (std::equal(head.begin(), head.end(), package::kMagic.begin()))
    return not_legacy(path, "it is one of ours already", "cloister inspect FILE says what is in it");
  auto length = TRY(Reader(head).u32());
  if (length == 0 || length > kMaxLegacyKey)
    return not_legacy(path, fmt::format("a wrapped key of {} bytes (1 to {})", length, kMaxLegacyKey));
  if (file_size <= kLengthSize + length) return not_legacy(path, "it ends before the token");
  return length;
}

}  // namespace

Result<LegacyPackage> LegacyPackage::open(const std::string& path) {
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file) return fail_errno(path);
  auto size = TRY(sys::regular_size(file.get(), path));
  if (size < kLengthSize) return not_legacy(path, "it ends before the token");
  ByteArray<kLengthSize> head{};
  TRY(sys::read_at(file.get(), 0, head, path));
  Bytes key(TRY(key_length(head, path, size)));
  TRY(sys::read_at(file.get(), kLengthSize, key, path));
  auto token_at = kLengthSize + key.size();
  auto token =
      TRY(FernetToken::open(file.get(), token_at, size - token_at).context(path).with_hint(kShapeHint));
  return LegacyPackage(std::move(file), std::move(key), token);
}

Result<ZipArchive> LegacyPackage::decrypt(const Secret& data_key, const std::string& directory) const {
  auto file = TRY(sys::nameless_file(directory).context("a temporary file for the archive"));
  TRY(token_.decrypt(data_key, [&](ByteView bytes) {
    return sys::write_all(file.get(), bytes, "the archive's temporary file");
  }));
  return ZipArchive::open(std::move(file));
}

Result<package::TreeSize> ZipSource::survey() const {
  package::TreeSize total;
  for (const auto& [path, member] : archive_.members()) {
    ++total.entries;
    total.bytes += member.size;
    total.unpacked += package::unpacked_cost(member.size);
  }
  return total;
}

Status ZipSource::write(const std::optional<Bytes>& manifest, const package::Sink& sink,
                        const package::TreeProgress& progress) const {
  if (manifest) TRY(package::write_manifest_member(*manifest, sink));
  std::uint64_t done = 0;
  package::Sink content = [&](ByteView bytes) -> Status {
    TRY(sink(bytes));
    done += bytes.size();
    if (progress) progress(done);
    return {};
  };
  for (const auto& [path, member] : archive_.members()) {
    TRY(sink(package::encode_tar_entry({.type = member.type,
                                        .path = path,
                                        .size = member.size,
                                        .mode = member.mode,
                                        .mtime = member.mtime})));
    if (member.type != package::TarType::file) continue;
    TRY(archive_.extract(path, content));
    TRY(package::write_padding(member.size, sink));
  }
  return package::write_tar_end(sink);
}

Result<std::optional<package::Manifest>> load_manifest_yaml(const ZipArchive& archive) {
  auto found = archive.members().find(std::string(kManifestFile));
  if (found == archive.members().end()) return std::optional<package::Manifest>();
  if (found->second.size > kMaxManifestYaml)
    return fail(ErrorKind::exhausted, "{} is larger than {} bytes", kManifestFile, kMaxManifestYaml);
  std::string text;
  TRY(archive.extract(found->first, [&](ByteView bytes) -> Status {
    text += as_text(bytes);
    return {};
  }));
  return std::optional<package::Manifest>(TRY(manifest_from_yaml(text).context(kManifestFile)));
}

}  // namespace cloister::host
