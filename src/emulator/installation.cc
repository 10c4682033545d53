#include "emulator/installation.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "crypto/digest.h"
#include "emulator/instance_lock.h"
#include "emulator/principals.h"
#include "sys/file.h"

namespace cloister::emulator {

namespace {

constexpr std::size_t kMasterKeySize = 32;      // bytes
constexpr std::size_t kMaxPemFile = 64 * 1024;  // bytes
constexpr sys::UnixMillis kDay = 24LL * 60 * 60 * 1000;
constexpr sys::UnixMillis kCertificateLife = 10 * 365 * kDay;
constexpr mode_t kPrivate = 0600;
constexpr std::string_view kOwnerPolicy =
    R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]})";

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}
std::string database_path(const std::string& directory) {
  return directory + "/kms.db";
}

Result<std::string> absolute(const std::string& directory) {
  std::unique_ptr<char, decltype(&::free)> real(::realpath(directory.c_str(), nullptr), ::free);
  if (!real) return fail_errno(directory);
  return std::string(real.get());
}

Status check_settings(const Settings& settings) {
  constexpr std::size_t kMaxRegion = 32;  // characters
  TRY(check_account(settings.account));
  if (!made_of(settings.region, "-") || settings.region.size() > kMaxRegion) {
    return fail(ErrorKind::invalid, "a region is lower case letters, digits and dashes, as us-east-1");
  }
  if (settings.port == 0) return fail(ErrorKind::invalid, "the port is 0");
  return {};
}

Result<Secret> make_master_key(const std::string& directory) {
  auto key = crypto::random_secret(kMasterKeySize);
  TRY(sys::write_file_atomic(directory + "/master.key", key.view(), kPrivate));
  return key;
}

// A development CA that signs one certificate; its key is gone afterwards.
Status make_certificates(const std::string& directory, const Settings& settings, sys::UnixMillis now) {
  crypto::CertificateRequest authority{.common_name = "Cloister development KMS CA",
                                       .organization = "Cloister development",
                                       .authority = true,
                                       .path_length = 0,
                                       .not_before = now - kDay,
                                       .not_after = now + kCertificateLife};
  auto ca_key = TRY(crypto::PrivateKey::generate(crypto::KeyType::p256));
  auto ca = TRY(crypto::issue_certificate(authority, ca_key.public_key(), nullptr, ca_key));
  crypto::CertificateRequest server{
      .common_name = "localhost",
      .organization = "Cloister development",
      .dns_names = {"localhost", fmt::format("kms.{}.cloister.test", settings.region), "*.cloister.test"},
      .addresses = {"127.0.0.1", "::1"},
      .not_before = now - kDay,
      .not_after = now + kCertificateLife};
  auto key = TRY(crypto::PrivateKey::generate(crypto::KeyType::p256));
  auto certificate = TRY(crypto::issue_certificate(server, key.public_key(), &ca, ca_key));
  TRY(sys::write_file_atomic(directory + "/ca.pem", as_bytes(ca.pem())));
  TRY(sys::write_file_atomic(directory + "/server.pem", as_bytes(certificate.pem())));
  return sys::write_file_atomic(directory + "/server.key", key.to_pem().view(), kPrivate);
}

Status add_first_principals(Store& store, const std::string& directory, sys::UnixMillis now) {
  NewPrincipal owner{.name = std::string(kOwnerName), .identity_policy = std::string(kOwnerPolicy)};
  TRY(add_principal(store, directory, owner, directory + "/owner.env", now));
  // No identity policy: what the host may do, the owners of keys say in their policies.
  NewPrincipal host{.name = std::string(kHostName), .role = true};
  return add_principal(store, directory, host, directory + "/user.env", now);
}

// The database gets its name last: until then the directory is not complete, and a later init starts over.
Status make_store(const std::string& directory, Secret master, const Settings& settings,
                  sys::UnixMillis now) {
  auto unfinished = database_path(directory) + ".new";
  for (const char* suffix : {"", "-wal", "-shm"}) ::unlink((unfinished + suffix).c_str());
  {
    // Closing the last connection moves the write-ahead log into the file.
    auto store = TRY(Store::create(unfinished, std::move(master), settings));
    TRY(add_first_principals(*store, directory, now));
  }
  if (::rename(unfinished.c_str(), database_path(directory).c_str()) != 0)
    return fail_errno(database_path(directory));
  return {};
}

}  // namespace

Result<bool> Installation::init(const std::string& directory, const Settings& settings, sys::UnixMillis now) {
  TRY(check_settings(settings));
  TRY(sys::make_directories(directory, 0700));
  auto real = TRY(absolute(directory));
  if (exists(database_path(real))) return false;
  auto lock = TRY(InstanceLock::take(lock_path(real)).context(real));
  if (exists(database_path(real))) return false;
  auto master = TRY(make_master_key(real));
  TRY(make_certificates(real, settings, now));
  TRY(make_store(real, std::move(master), settings, now));
  return true;
}

Result<Installation> Installation::open(const std::string& directory) {
  if (!exists(database_path(directory))) {
    return Result<Installation>(fail(ErrorKind::not_found, "{}: no key service there", directory))
        .with_hint(fmt::format("cloister-kms init --dir {}", directory));
  }
  auto real = TRY(absolute(directory));
  Secret master(TRY(sys::read_file(real + "/master.key", kMasterKeySize)));
  auto store = TRY(Store::open(database_path(real), std::move(master)));
  return Installation(real, std::move(store));
}

Result<ServerIdentity> Installation::identity() const {
  Secret pem(TRY(sys::read_file(directory_ + "/server.key", kMaxPemFile)));
  auto key = TRY(crypto::PrivateKey::from_pem(pem.view()).context(directory_ + "/server.key"));
  auto chain_pem = TRY(sys::read_file(directory_ + "/server.pem", kMaxPemFile));
  auto chain = TRY(crypto::Certificate::list_from_pem(chain_pem).context(directory_ + "/server.pem"));
  return ServerIdentity{std::move(key), std::move(chain)};
}

}  // namespace cloister::emulator
