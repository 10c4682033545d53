#include "emulator/development_root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sys/fd.h"
#include "sys/file.h"

namespace cloister::emulator {

namespace {

constexpr sys::UnixMillis kDay = 24LL * 60 * 60 * 1000;  // milliseconds
constexpr sys::UnixMillis kClockSlack = kDay;            // other machines' clocks may be behind
constexpr sys::UnixMillis kValidity = 3650 * kDay;
constexpr std::size_t kMaxPem = 64 * 1024;  // bytes

struct Paths {
  std::string key;
  std::string certificate;
  std::string lock;
};

Paths paths_in(const std::string& directory) {
  return {.key = directory + "/root-key.pem",
          .certificate = directory + "/root.pem",
          .lock = directory + "/.root.lock"};
}

// Held until the descriptor closes, if only because its process dies. It is the descriptor's lock, not the
// process's, so that threads exclude each other too.
Result<sys::Fd> lock(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno(path);
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  while (::fcntl(fd.get(), F_OFD_SETLKW, &whole) != 0) {
    if (errno != EINTR) return fail_errno(path);
  }
  return fd;
}

Result<crypto::PrivateKey> load_key(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return fail_errno(path);
  struct stat about{};
  if (::fstat(fd.get(), &about) != 0) return fail_errno(path);
  if ((about.st_mode & 077) != 0)
    return fail(ErrorKind::denied, "{}: others may read or write this key", path);
  Secret pem(TRY(sys::read_all(fd.get(), kMaxPem, path)));
  auto key = TRY(crypto::PrivateKey::from_pem(pem.view()).context(path));
  if (key.type() != crypto::KeyType::p384) return fail(ErrorKind::corrupt, "{}: not a P-384 key", path);
  return key;
}

Result<DevelopmentRoot> load(const Paths& paths) {
  auto pem = TRY(sys::read_file(paths.certificate, kMaxPem));
  auto list = TRY(crypto::Certificate::list_from_pem(pem).context(paths.certificate));
  if (list.size() != 1) return fail(ErrorKind::corrupt, "{}: not one certificate", paths.certificate);
  auto key = TRY(load_key(paths.key));
  auto certified = TRY(list.front().public_key().context(paths.certificate));
  if (key.public_key().fingerprint() != certified.fingerprint()) {
    return fail(ErrorKind::corrupt, "{}: belongs to another key than {}", paths.certificate, paths.key);
  }
  return DevelopmentRoot{.key = std::move(key), .certificate = std::move(list.front())};
}

// The certificate comes last: where it stands, the pair is whole.
Status store(const DevelopmentRoot& root, const Paths& paths) {
  auto pem = root.key.to_pem();
  TRY(sys::write_file_atomic(paths.key, pem.view(), 0600));
  return sys::write_file_atomic(paths.certificate, as_bytes(root.certificate.pem()), 0644);
}

Result<bool> exists(const std::string& path) {
  if (::access(path.c_str(), F_OK) == 0) return true;
  if (errno != ENOENT) return fail_errno(path);
  return false;
}

Result<DevelopmentRoot> load_or_create_locked(const Paths& paths, sys::UnixMillis now) {
  if (TRY(exists(paths.certificate))) {
    return load(paths).with_hint(
        fmt::format("remove {} and {} to make a new root", paths.certificate, paths.key));
  }
  auto root = TRY(DevelopmentRoot::generate(now));
  TRY(store(root, paths));
  return root;
}

}  // namespace

Result<DevelopmentRoot> DevelopmentRoot::generate(sys::UnixMillis now) {
  auto key = TRY(crypto::PrivateKey::generate(crypto::KeyType::p384));
  crypto::CertificateRequest request{.common_name = std::string(kDevelopmentRootName),
                                     .organization = "Cloister development",
                                     .authority = true,
                                     .not_before = std::max<sys::UnixMillis>(now - kClockSlack, 0),
                                     .not_after = now + kValidity};
  auto certificate = TRY(crypto::issue_certificate(request, key.public_key(), nullptr, key));
  return DevelopmentRoot{.key = std::move(key), .certificate = std::move(certificate)};
}

Result<DevelopmentRoot> DevelopmentRoot::load_or_create(const std::string& directory, sys::UnixMillis now) {
  TRY(sys::make_directories(directory, 0700));
  auto paths = paths_in(directory);
  auto held = TRY(lock(paths.lock).context("development root"));
  return load_or_create_locked(paths, now).context("development root");
}

}  // namespace cloister::emulator
