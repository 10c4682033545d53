// What the model sees of trees: texts that are equal where the trees are.
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "model.h"

namespace cloister::posix {

namespace {

constexpr time_t kNewest = 1'609'459'200;  // 2021: times after it are those of the test itself
constexpr std::size_t kMaxList = 64 * 1024;

struct Entry {
  std::string name;
  unsigned type;
  auto operator<=>(const Entry&) const = default;
};

std::vector<Entry> entries_of(int directory, const std::string& tag) {
  std::vector<Entry> out;
  int again = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(again), ::closedir);
  if (stream == nullptr) return out;
  while (const dirent* entry = ::readdir(stream.get())) {
    if (std::string_view(entry->d_name).ends_with(tag)) out.push_back({entry->d_name, entry->d_type});
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string contents_of(int directory, const std::string& name) {
  int fd = ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return " cannot be opened";
  std::string all;
  char part[64 * 1024];
  for (ssize_t n; (n = ::read(fd, part, sizeof part)) > 0;) all.append(part, static_cast<std::size_t>(n));
  auto out = " " + std::to_string(all.size()) + ":" + std::to_string(hash(all)) + list_xattrs(fd);
  ::close(fd);
  return out;
}

std::string target_of(int directory, const std::string& name) {
  char target[1024];
  ssize_t n = ::readlinkat(directory, name.c_str(), target, sizeof target);
  return n < 0 ? " unreadable" : " -> " + std::string(target, static_cast<std::size_t>(n));
}

// A name may hold a line feed: one line per entry all the same.
std::string printable(std::string name) {
  std::replace(name.begin(), name.end(), '\n', '?');
  return name;
}

void describe_below(int directory, const std::string& path, const std::string& tag, std::string& out) {
  for (const auto& [name, type] : entries_of(directory, tag)) {
    struct stat info{};
    out += path + printable(name) + " " + std::to_string(type);
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      out += " cannot be stat'ed\n";
      continue;
    }
    out += " " + describe(info);
    if (S_ISDIR(info.st_mode)) out += " links " + std::to_string(info.st_nlink);
    if (S_ISREG(info.st_mode)) out += contents_of(directory, name);
    if (S_ISLNK(info.st_mode)) out += target_of(directory, name);
    out += "\n";
    if (!S_ISDIR(info.st_mode)) continue;
    int below = ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below < 0) continue;
    describe_below(below, path + printable(name) + "/", tag, out);
    ::close(below);
  }
}

}  // namespace

std::string describe(const struct stat& info) {
  char out[160];
  bool directory = S_ISDIR(info.st_mode);
  std::snprintf(out, sizeof out, "%o %ld %ld", info.st_mode, directory ? 0 : static_cast<long>(info.st_nlink),
                directory ? 0 : static_cast<long>(info.st_size));
  std::string text = out;
  if (info.st_mtim.tv_sec > kNewest) return text;
  return text + " " + std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
}

std::string describe_tree(int directory, const std::string& tag) {
  std::string out;
  describe_below(directory, "", tag, out);
  return out;
}

std::string list_directory(int directory, const std::string& tag) {
  std::string out;
  for (const auto& [name, type] : entries_of(directory, tag))
    out += printable(name) + ":" + std::to_string(type) + " ";
  return out;
}

std::string list_xattrs(int fd) {
  std::string names(kMaxList, '\0');
  ssize_t n = ::flistxattr(fd, names.data(), names.size());
  std::vector<std::string> found;
  for (ssize_t at = 0; at < n; at += static_cast<ssize_t>(found.back().size()) + 1) {
    found.emplace_back(names.c_str() + at);
  }
  std::sort(found.begin(), found.end());
  std::string out;
  for (const auto& name : found) {
    std::string value(kMaxList, '\0');
    ssize_t size = ::fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (name.starts_with("user.")) out += " " + name + "=" + std::to_string(size);
  }
  return out;
}

}  // namespace cloister::posix
