// Making a package: tree → tar → zstd → segments, in one pass and constant memory.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/secret.h"
#include "package/header.h"
#include "package/manifest.h"
#include "package/tree.h"
#include "package/zstd_stream.h"
#include "sys/dir.h"

namespace cloister::package {

struct DataKey {
  Secret plaintext;     // kDataKeySize bytes
  Bytes wrapped;        // KMS's CiphertextBlob
  std::string key_arn;  // full ARN of the key that wrapped it
};

// Where data keys come from: KMS GenerateDataKey, or a test.
class DataKeySource {
 public:
  virtual ~DataKeySource() = default;
  // A fresh key wrapped under this encryption context. Called once per package.
  virtual Result<DataKey> generate(const EncryptionContext& context) = 0;
};

struct PackProgress {
  std::uint64_t done = 0;  // bytes of file content
  std::uint64_t total = 0;
};

struct PackOptions {
  std::string name;
  std::string release;
  EncryptionContext extra_context;
  std::optional<Manifest> manifest;
  int compression_level = kDefaultLevel;
  std::function<void(const PackProgress&)> progress;
};

// Writes the whole package to out_fd from its position on. The source is surveyed before the key is asked
// for. Nothing is undone on failure: write to a sys::PendingFile. Returns the header that was written.
Result<Header> write_package(const Source& source, const PackOptions& options, DataKeySource& keys,
                             const crypto::PrivateKey& signer, int out_fd);
Result<Header> write_package(const sys::Dir& source, const PackOptions& options, DataKeySource& keys,
                             const crypto::PrivateKey& signer, int out_fd);

}  // namespace cloister::package
