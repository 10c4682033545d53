#include "package/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace cloister::package {

namespace {

constexpr std::size_t kCopyChunk = 256 * 1024;  // bytes

// The names in a directory, sorted bytewise.
Result<std::vector<std::string>> list_names(const sys::Dir& directory, std::string_view what) {
  // A descriptor of its own, with a position of its own; closedir() closes it.
  int fd = ::openat(directory.descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(what);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
  if (!stream) {
    auto error = fail_errno(what);
    ::close(fd);
    return error;
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > kMaxTarEntries)
      return fail(ErrorKind::exhausted, "{}: more than {} entries", what, kMaxTarEntries);
  }
  if (errno != 0) return fail_errno(what);
  std::ranges::sort(names);
  return names;
}

Result<std::string> read_link(const sys::Dir& directory, const std::string& name, std::string_view path) {
  std::string target(kMaxTarPath + 1, '\0');
  ssize_t n = ::readlinkat(directory.descriptor(), name.c_str(), target.data(), target.size());
  if (n < 0) return fail_errno(path);
  target.resize(static_cast<std::size_t>(n));
  return target;
}

std::string_view kind_of(mode_t mode) {
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  if (S_ISFIFO(mode)) return "a fifo";
  if (S_ISSOCK(mode)) return "a socket";
  return "of an unknown type";
}

// A member as it stands in its directory.
struct Member {
  const sys::Dir& directory;
  const std::string& name;
  TarEntry entry;
};
// Called for every member, parents first. Files are reported by size and not opened.
using Visit = std::function<Status(const Member&)>;

TarEntry entry_of(std::string path, TarType type, const struct stat& info) {
  TarEntry entry;
  entry.type = type;
  entry.path = std::move(path);
  entry.mode = info.st_mode & 0777;
  entry.mtime = static_cast<std::uint64_t>(std::clamp<std::int64_t>(info.st_mtim.tv_sec, 0, kMaxTarMtime));
  if (type == TarType::file) entry.size = static_cast<std::uint64_t>(info.st_size);
  return entry;
}

class Walk {
 public:
  explicit Walk(const Visit& visit) : visit_(visit) {}

  // The recursion ends at kMaxTarDepth: check_tar_path refuses deeper paths.
  Status directory(const sys::Dir& directory, const std::string& prefix) {
    for (const auto& name : TRY(list_names(directory, prefix.empty() ? "." : prefix))) {
      if (prefix.empty() && name == kReservedDirectory) {
        return fail(ErrorKind::invalid, "{} is a name that packages reserve", kReservedDirectory);
      }
      TRY(member(directory, name, prefix + name));
    }
    return {};
  }

 private:
  Status member(const sys::Dir& directory, const std::string& name, const std::string& path) {
    TRY(check_tar_path(path));
    if (++entries_ > kMaxTarEntries)
      return fail(ErrorKind::exhausted, "more than {} files and directories", kMaxTarEntries);
    struct stat info{};
    if (::fstatat(directory.descriptor(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno(path);
    if (S_ISDIR(info.st_mode)) return subdirectory(directory, name, path);
    if (S_ISREG(info.st_mode)) return visit_({directory, name, entry_of(path, TarType::file, info)});
    if (S_ISLNK(info.st_mode)) return symlink(directory, name, entry_of(path, TarType::symlink, info));
    return fail(ErrorKind::invalid, "{} is {}: only files, directories and symbolic links can be packed",
                path, kind_of(info.st_mode));
  }

  Status subdirectory(const sys::Dir& parent, const std::string& name, const std::string& path) {
    auto opened = TRY(parent.open_dir(name).context(path));
    struct stat info{};
    if (::fstat(opened.descriptor(), &info) != 0) return fail_errno(path);
    TRY(visit_({parent, name, entry_of(path, TarType::directory, info)}));
    return directory(opened, path + "/");
  }

  Status symlink(const sys::Dir& parent, const std::string& name, TarEntry entry) {
    entry.link = TRY(read_link(parent, name, entry.path));
    entry.mode = 0777;
    TRY(check_link_target(entry.path, entry.link));
    return visit_({parent, name, std::move(entry)});
  }

  const Visit& visit_;
  std::uint64_t entries_ = 0;
};

bool same_file_state(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

class TarWriter {
 public:
  TarWriter(const Sink& sink, const TreeProgress& progress)
      : sink_(sink), progress_(progress), buffer_(kCopyChunk) {}

  Status write(const Member& member) {
    if (member.entry.type == TarType::file) return write_file(member);
    return sink_(encode_tar_entry(member.entry));
  }

 private:
  // Type, size and times are those of the descriptor that is read, before and after.
  Status write_file(const Member& member) {
    const auto& path = member.entry.path;
    auto file = TRY(member.directory.open_regular(member.name).context(path));
    struct stat before{};
    if (::fstat(file.get(), &before) != 0) return fail_errno(path);
    auto entry = entry_of(path, TarType::file, before);
    TRY(sink_(encode_tar_entry(entry)));
    TRY(copy_content(file.get(), entry.size, path));
    struct stat after{};
    if (::fstat(file.get(), &after) != 0) return fail_errno(path);
    if (!same_file_state(before, after)) return changed(path);
    return write_padding(entry.size, sink_);
  }

  Status copy_content(int fd, std::uint64_t size, const std::string& path) {
    while (size > 0) {
      ssize_t n =
          ::read(fd, buffer_.data(), static_cast<std::size_t>(std::min<std::uint64_t>(size, buffer_.size())));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno(path);
      if (n == 0) return changed(path);
      TRY(sink_(ByteView(buffer_).first(static_cast<std::size_t>(n))));
      size -= static_cast<std::uint64_t>(n);
      done_ += static_cast<std::uint64_t>(n);
      if (progress_) progress_(done_);
    }
    return {};
  }

  static std::unexpected<Error> changed(std::string_view path) {
    return fail(ErrorKind::invalid, "{} changed while it was being packed", path);
  }

  const Sink& sink_;
  const TreeProgress& progress_;
  Bytes buffer_;
  std::uint64_t done_ = 0;
};

}  // namespace

std::uint64_t unpacked_cost(std::uint64_t size) {
  return (std::max<std::uint64_t>(size, 1) + kUnpackPage - 1) / kUnpackPage * kUnpackPage;
}

Status write_manifest_member(ByteView manifest, const Sink& sink) {
  TarEntry entry{.path = std::string(kManifestPath), .size = manifest.size(), .mode = 0400};
  TRY(sink(encode_tar_entry(entry)));
  TRY(sink(manifest));
  return write_padding(manifest.size(), sink);
}

Status write_padding(std::uint64_t size, const Sink& sink) {
  auto padding = tar_padding(size);
  return padding == 0 ? Status{} : sink(Bytes(padding));
}

Status write_tar_end(const Sink& sink) {
  return sink(Bytes(2 * kTarBlock));
}

Result<TreeSize> survey_tree(const sys::Dir& source) {
  TreeSize total;
  Visit visit = [&](const Member& member) -> Status {
    ++total.entries;
    total.bytes += member.entry.size;
    total.unpacked += unpacked_cost(member.entry.size);
    return {};
  };
  TRY(Walk(visit).directory(source, ""));
  return total;
}

Status write_tar(const sys::Dir& source, const std::optional<Bytes>& manifest, const Sink& sink,
                 const TreeProgress& progress) {
  TarWriter writer(sink, progress);
  if (manifest) TRY(write_manifest_member(*manifest, sink));
  Visit visit = [&](const Member& member) { return writer.write(member); };
  TRY(Walk(visit).directory(source, ""));
  return write_tar_end(sink);
}

}  // namespace cloister::package
