// Packages of the old Python sample, application_code.zip.encrypted: four bytes of length (big-endian), that
// many bytes of a data key as KMS wrapped it, and to the end of the file a Fernet token of a zip. Nobody
// signed them and no context binds them, so no enclave opens one: their owner turns them into ours, on the
// owner's machine.
#pragma once

#include <optional>

#include "host/fernet.h"
#include "host/zip_archive.h"
#include "package/manifest.h"
#include "package/tree.h"

namespace cloister::host {

inline constexpr std::size_t kMaxLegacyKey = 6144;  // bytes: the longest ciphertext that KMS makes

// An open file whose shape is right; nothing in it has been verified.
class LegacyPackage {
 public:
  // invalid: something else (one of ours, for one). corrupt: cut.
  static Result<LegacyPackage> open(const std::string& path);

  const Bytes& wrapped_key() const { return wrapped_key_; }

  // The archive. The whole token is verified before anything looks into it. Where it is decrypted to is a
  // file without a name below `directory`: the sample's archives may be larger than memory, and such a file
  // is seen by nobody and gone with the process. data_key: what KMS makes of wrapped_key().
  Result<ZipArchive> decrypt(const Secret& data_key, const std::string& directory) const;

 private:
  LegacyPackage(sys::Fd file, Bytes wrapped_key, const FernetToken& token)
      : file_(std::move(file)), wrapped_key_(std::move(wrapped_key)), token_(token) {}

  sys::Fd file_;
  Bytes wrapped_key_;
  FernetToken token_;
};

// The archive's root as the application's, as the sample ran it. The same stream that its directory would
// give once unzipped.
class ZipSource final : public package::Source {
 public:
  explicit ZipSource(const ZipArchive& archive) : archive_(archive) {}
  Result<package::TreeSize> survey() const override;
  Status write(const std::optional<Bytes>& manifest, const package::Sink& sink,
               const package::TreeProgress& progress) const override;

 private:
  const ZipArchive& archive_;
};

// The manifest at the archive's root, if there is one.
Result<std::optional<package::Manifest>> load_manifest_yaml(const ZipArchive& archive);

}  // namespace cloister::host
