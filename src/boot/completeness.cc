#include "boot/completeness.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "sys/file.h"

namespace cloister::boot {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlock = 512;  // bytes: the unit of st_blocks, stat(2)

// What a file has, not what its size says: Linux gives a file its size before it unpacks its content
// (do_name() of init/initramfs.c), so the one at which memory ended is as long as it should be, and zeros.
Result<std::uint64_t> bytes_there(const fs::path& path) {
  struct stat about{};
  if (::lstat(path.c_str(), &about) != 0) return fail_errno(path.native());
  return std::min(static_cast<std::uint64_t>(about.st_size),
                  kBlock * static_cast<std::uint64_t>(about.st_blocks));
}

Status add(const fs::directory_entry& entry, Contents& out) {
  std::error_code error;
  auto status = entry.symlink_status(error);
  if (!error && fs::is_symlink(status)) {
    out.bytes += fs::read_symlink(entry.path(), error).native().size();
    ++out.files;
  } else if (!error && fs::is_regular_file(status)) {
    out.bytes += TRY(bytes_there(entry.path()));
    ++out.files;
  }
  if (error) return fail(ErrorKind::system, "{}: {}", entry.path().native(), error.message());
  if (out.files > kMaxImageFiles) return fail(ErrorKind::exhausted, "more than {} files", kMaxImageFiles);
  return {};
}

}  // namespace

Result<Contents> count_contents(const std::string& root) {
  Contents out;
  std::error_code error;
  fs::recursive_directory_iterator entries(root, error);
  while (!error && entries != fs::recursive_directory_iterator()) {
    if (entries->path() != fs::path(root + kContentsFile).lexically_normal()) TRY(add(*entries, out));
    entries.increment(error);
  }
  if (error) return fail(ErrorKind::system, "{}: {}", root, error.message());
  return out;
}

Status check_complete() {
  auto text = TRY(sys::read_file(kContentsFile, codec::kMaxContentsFile));
  auto wanted = TRY(codec::parse_contents(as_text(text)));
  auto found = TRY(count_contents("/"));
  if (found == wanted) return {};
  Error error(ErrorKind::exhausted,
              fmt::format("the image is not whole: {} files with {} bytes are here, of {} with {}",
                          found.files, found.bytes, wanted.files, wanted.bytes));
  return std::unexpected(std::move(error).with_hint("give the enclave more memory"));
}

}  // namespace cloister::boot
