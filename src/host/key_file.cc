#include "host/key_file.h"

#include <unistd.h>

#include "sys/file.h"

namespace cloister::host {

namespace {

std::string_view to_string(crypto::KeyType type) {
  switch (type) {
    case crypto::KeyType::ed25519:
      return "Ed25519";
    case crypto::KeyType::p256:
      return "P-256";
    case crypto::KeyType::p384:
      return "P-384";
    case crypto::KeyType::p521:
      return "P-521";
    case crypto::KeyType::rsa2048:
      return "RSA";
    case crypto::KeyType::x25519:
      return "X25519";
  }
  return "unknown";
}

// Whoever links first has made it; the other's key is thrown away unused. Returns whether it was ours.
Result<bool> create_key(const std::string& path, crypto::KeyType type) {
  TRY(sys::make_directories(path.substr(0, path.rfind('/')), 0700));
  auto key = TRY(crypto::PrivateKey::generate(type));
  auto temporary = fmt::format("{}.{}", path, ::getpid());
  TRY(sys::write_file_atomic(temporary, key.to_pem().view(), 0600));
  int linked = ::link(temporary.c_str(), path.c_str());
  int error = errno;
  ::unlink(temporary.c_str());
  if (linked != 0 && error != EEXIST) return fail_errno(error, path);
  return linked == 0;
}

}  // namespace

Result<crypto::PrivateKey> load_key(const std::string& path, crypto::KeyType type) {
  auto bytes = TRY(sys::read_file(path, kMaxKeyFile));
  auto key = crypto::PrivateKey::from_pem(bytes);
  wipe(bytes);
  auto loaded = TRY(std::move(key).context(path));
  if (loaded.type() != type) return fail(ErrorKind::invalid, "{} is not an {} key", path, to_string(type));
  return loaded;
}

Result<KeyFile> load_or_create_key(const std::string& path, crypto::KeyType type) {
  auto there = load_key(path, type);
  if (there) return KeyFile{*std::move(there), false};
  if (there.error().kind() != ErrorKind::not_found) return std::unexpected(there.error());
  bool made = TRY(create_key(path, type));
  return KeyFile{TRY(load_key(path, type)), made};
}

}  // namespace cloister::host
