#include "builder/blobs.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "builder/oci.h"
#include "sys/dir.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

using Archive = std::unique_ptr<archive, int (*)(archive*)>;

constexpr std::size_t kReadBlock = 256 * 1024;  // bytes
constexpr std::size_t kMaxMembers = 4096;
constexpr std::string_view kAlgorithm = "sha256:";
constexpr std::size_t kDigestDigits = 64;

std::unexpected<Error> broken(archive* stream, std::string_view what) {
  const char* why = archive_error_string(stream);
  return fail(ErrorKind::corrupt, "{}: {}", what, why == nullptr ? "unreadable" : why);
}

std::string parent_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// Everything that an entry holds, to `take`.
Status read_data(archive* stream, std::string_view what, const std::function<Status(ByteView)>& take) {
  Bytes buffer(kReadBlock);
  while (true) {
    la_ssize_t n = archive_read_data(stream, buffer.data(), buffer.size());
    if (n < 0) return broken(stream, what);
    if (n == 0) return {};
    TRY(take(ByteView(buffer).first(static_cast<std::size_t>(n))));
  }
}

Status unpack_member(archive* tar, const std::string& root, const std::string& name, std::uint64_t& left) {
  auto parts = TRY(sys::split_relative(name));
  TRY(sys::make_directories(root + "/" + parent_of(name), 0700));
  sys::Fd out(
      ::open((root + "/" + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) return fail_errno(name);
  return read_data(tar, name, [&](ByteView bytes) -> Status {
    if (bytes.size() > left) return fail(ErrorKind::exhausted, "more than {} GiB", kMaxArchive >> 30);
    left -= bytes.size();
    return sys::write_all(out.get(), bytes, name);
  });
}

Status unpack_archive(const std::string& path, const std::string& root) {
  Archive tar(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(tar.get());
  archive_read_support_filter_all(tar.get());
  if (archive_read_open_filename(tar.get(), path.c_str(), kReadBlock) != ARCHIVE_OK)
    return broken(tar.get(), path);
  std::uint64_t left = kMaxArchive;
  for (std::size_t members = 0;; ++members) {
    archive_entry* entry = nullptr;
    int answer = archive_read_next_header(tar.get(), &entry);
    if (answer == ARCHIVE_EOF) return {};
    if (answer != ARCHIVE_OK && answer != ARCHIVE_WARN) return broken(tar.get(), path);
    if (members > kMaxMembers)
      return fail(ErrorKind::exhausted, "{}: more than {} members", path, kMaxMembers);
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || archive_entry_filetype(entry) == AE_IFDIR) continue;
    std::string checked(name);
    if (checked.starts_with("./")) checked = checked.substr(2);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr)
      return fail(ErrorKind::invalid, "{}: {} is a link or a device", path, checked);
    TRY(unpack_member(tar.get(), root, checked, left).context(path));
  }
}

// "sha256:<hex>" → "<hex>".
Result<std::string> hex_of(const std::string& digest) {
  auto hex = digest.starts_with(kAlgorithm) ? digest.substr(kAlgorithm.size()) : "";
  auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (hex.size() != kDigestDigits || !std::all_of(hex.begin(), hex.end(), is_hex))
    return fail(ErrorKind::invalid, "'{}' is not a SHA-256 digest", digest);
  return hex;
}

}  // namespace

Result<BlobFolder> BlobFolder::open(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return fail_errno(path);
  if (S_ISDIR(about.st_mode)) return BlobFolder(path);
  const char* temporary = ::getenv("TMPDIR");
  auto folder = TRY(WorkFolder::create(temporary == nullptr ? "/tmp" : temporary));
  TRY(unpack_archive(path, folder.path()));
  BlobFolder out(folder.path());
  out.unpacked_.emplace(std::move(folder));
  return out;
}

bool BlobFolder::has(const std::string& name) const {
  return ::access((root_ + "/" + name).c_str(), R_OK) == 0;
}

Result<std::string> BlobFolder::file(const std::string& name) const {
  auto root = TRY(sys::Dir::open(root_));
  sys::Fd fd = TRY(root.open_regular(name).context(name));
  return root_ + "/" + name;
}

Result<Bytes> BlobFolder::read(const std::string& name, std::size_t max) const {
  auto path = TRY(file(name));
  return sys::read_file(path, max);
}

Result<std::string> BlobFolder::blob(const std::string& digest) const {
  auto hex = TRY(hex_of(digest));
  auto path = TRY(file("blobs/sha256/" + hex));
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  auto actual = TRY(crypto::digest_file(crypto::Hash::sha256, fd.get()));
  if (to_hex(actual) != hex)
    return fail(ErrorKind::corrupt, "blob {} has other content: its SHA-256 is {}", digest, to_hex(actual));
  return path;
}

Result<std::string> BlobFolder::read_json(const std::string& digest) const {
  auto path = TRY(blob(digest));
  auto bytes = TRY(sys::read_file(path, kMaxOciJson));
  return std::string(as_text(bytes));
}

Result<std::string> unpack_layer(const std::string& from, const std::string& to, std::uint64_t max) {
  Archive stream(archive_read_new(), archive_read_free);
  archive_read_support_format_raw(stream.get());
  archive_read_support_format_empty(stream.get());
  archive_read_support_filter_gzip(stream.get());
  archive_read_support_filter_zstd(stream.get());
  if (archive_read_open_filename(stream.get(), from.c_str(), kReadBlock) != ARCHIVE_OK)
    return broken(stream.get(), "layer");
  sys::Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return fail_errno(to);
  crypto::Hasher hasher(crypto::Hash::sha256);
  archive_entry* entry = nullptr;
  int answer = archive_read_next_header(stream.get(), &entry);
  if (answer != ARCHIVE_OK && answer != ARCHIVE_EOF) return broken(stream.get(), "layer");
  std::uint64_t left = max;
  if (answer == ARCHIVE_OK) {
    TRY(read_data(stream.get(), "layer", [&](ByteView bytes) -> Status {
      if (bytes.size() > left) return fail(ErrorKind::exhausted, "a layer of more than {} GiB", max >> 30);
      left -= bytes.size();
      hasher.update(bytes);
      return sys::write_all(out.get(), bytes, to);
    }));
  }
  return fmt::format("{}{}", kAlgorithm, to_hex(hasher.finish()));
}

}  // namespace cloister::builder
