// For the tests of this room only: temporary trees, packages in memory, and opening one from its first byte
// to its last.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "package/keys.h"
#include "package/pack.h"
#include "package/start.h"
#include "package/stream_reader.h"
#include "package/stream_writer.h"
#include "package/unpack.h"
#include "sys/file.h"

namespace cloister::package::test {

#define ASSERT_OK(...)                                                   \
  do {                                                                   \
    const auto& ok_result_ = (__VA_ARGS__);                              \
    ASSERT_TRUE(ok_result_.has_value()) << ok_result_.error().message(); \
  } while (false)

// The value, or a failed test and an exception that ends it.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

template <class T>
std::string why(const Result<T>& result) {
  return result ? std::string("(it succeeded)") : result.error().message();
}

class TempTree {
 public:
  TempTree() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cloister-package-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  TempTree(const TempTree&) = delete;
  TempTree& operator=(const TempTree&) = delete;
  ~TempTree() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  sys::Dir open() const { return must(sys::Dir::open(path_.string())); }
  void write(std::string_view name, std::string_view content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
  }
  std::string read(std::string_view name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool exists(std::string_view name) const {
    struct stat info{};
    return ::lstat((path_ / name).c_str(), &info) == 0;
  }
  std::size_t count() const {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::recursive_directory_iterator(path_)) ++n;
    return n;
  }

 private:
  std::filesystem::path path_;
};

// A file in memory holding these bytes, at its start.
inline sys::Fd memory_file(ByteView bytes = {}) {
  sys::Fd fd(::memfd_create("package", MFD_CLOEXEC));
  must(sys::write_all(fd.get(), bytes, "memory"));
  ::lseek(fd.get(), 0, SEEK_SET);
  return fd;
}
inline Bytes contents(const sys::Fd& fd) {
  ::lseek(fd.get(), 0, SEEK_SET);
  return must(sys::read_all(fd.get(), std::size_t{1} << 30, "memory"));
}

// Bytes first, first + 1, …
inline Bytes counting(std::size_t size, std::uint8_t first) {
  Bytes out(size);
  for (auto& byte : out) byte = first++;
  return out;
}

// An Ed25519 key from a fixed seed: PKCS#8 (RFC 8410 section 7) of it.
inline crypto::PrivateKey fixed_signer(std::uint8_t first_byte) {
  Bytes der = must(from_hex("302e020100300506032b657004220420"));
  append(der, counting(32, first_byte));
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < der.size(); i += 3) {  // 48 bytes: no padding
    std::uint32_t group = std::uint32_t{der[i]} << 16 | std::uint32_t{der[i + 1]} << 8 | der[i + 2];
    for (int shift = 18; shift >= 0; shift -= 6) text += kDigits[group >> shift & 63];
  }
  auto pem = "-----BEGIN PRIVATE KEY-----\n" + text + "\n-----END PRIVATE KEY-----\n";
  return must(crypto::PrivateKey::from_pem(as_bytes(pem)));
}

// Hands out one known data key.
class FixedKeySource final : public DataKeySource {
 public:
  explicit FixedKeySource(ByteView key = counting(32, 0)) : key_(key) {}
  Result<DataKey> generate(const EncryptionContext& asked) override {
    ++calls;
    context = asked;
    return DataKey{
        .plaintext = key_.copy(),
        .wrapped = to_bytes("wrapped data key"),
        .key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"};
  }
  int calls = 0;
  EncryptionContext context;

 private:
  Secret key_;
};

// Opens a package as the enclave does, all in one process. Returns the stage that refused it, or "opened".
inline std::string open_package(ByteView package, const Secret& data_key, const sys::Dir& target,
                                std::string* reason = nullptr) {
  auto refused = [&](std::string_view stage, const Error& error) {
    if (reason != nullptr) *reason = error.message();
    return std::string(stage);
  };
  auto file = memory_file(package);
  auto start = read_start(file.get());
  if (!start) return refused("header", start.error());
  if (auto signature = start->header.verify_signature(); !signature)
    return refused("signature", signature.error());
  if (auto commitment = check_commitment(data_key, start->header); !commitment)
    return refused("commitment", commitment.error());
  auto key = derive_stream_key(data_key, start->prefix, start->stream_header);
  if (!key) return refused("content", key.error());
  ContentUnpacker unpacker(target, unpack_limits(start->header));
  Status archive;
  auto decrypted =
      decrypt_segments(file.get(), *key, [&](ByteView bytes) { return archive = unpacker.write(bytes); });
  if (!archive) return refused("archive", archive.error());
  if (!decrypted) return refused("content", decrypted.error());
  if (auto done = unpacker.finish(); !done) return refused("archive", done.error());
  if (auto manifest = load_manifest(target, start->header); !manifest)
    return refused("manifest", manifest.error());
  return "opened";
}

}  // namespace cloister::package::test
