// tree_stress --folder DIR [--seed N] [--operations N] [--processes N] [--check-only 1]: processes make,
// move, link and remove names of one tree without regard to each other. Afterwards the tree must be sound:
// each directory lists what can be used and nothing more, and counts of links are those of the tree.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "random.h"

namespace cloister::posix {

namespace {

constexpr std::size_t kNames = 7;          // per directory: few, so that processes meet
constexpr std::size_t kMaxDepth = 4;       // components of a path
constexpr std::size_t kMaxWrite = 20'000;  // bytes

// What a call may say when another process was faster, or when the path leads through a file.
bool is_expected(int error) {
  static const std::set<int> all{ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, ELOOP, EPERM, EBUSY};
  return all.contains(error);
}

std::string name_of(std::uint64_t number) {
  return "n" + std::to_string(number);
}

class Stress {
 public:
  Stress(int root, std::uint64_t seed) : root_(root), random_(seed) {}

  void step() {
    using Operation = void (Stress::*)();
    static const std::vector<Operation> all{&Stress::create,
                                            &Stress::create,
                                            &Stress::make_directory,
                                            &Stress::make_directory,
                                            &Stress::rename,
                                            &Stress::rename,
                                            &Stress::link,
                                            &Stress::symlink,
                                            &Stress::remove,
                                            &Stress::remove_directory,
                                            &Stress::list};
    (this->*random_.of(all))();
  }

 private:
  std::string path() {
    std::string out = name_of(random_.below(kNames));
    for (auto more = random_.below(kMaxDepth); more > 0; --more) out += "/" + name_of(random_.below(kNames));
    return out;
  }
  static bool check(long value, const char* what) {
    if (value < 0 && !is_expected(errno))
      die(std::string("tree_stress: ") + what + ": " + std::strerror(errno));
    return value >= 0;
  }

  void create() {
    int fd = ::openat(root_, path().c_str(), O_RDWR | O_CREAT | (random_.once_in(3) ? O_TRUNC : 0), 0644);
    if (!check(fd, "open")) return;
    auto data = random_.bytes(random_.below(kMaxWrite));
    auto at = static_cast<off_t>(random_.below(kMaxWrite));
    if (::pwrite(fd, data.data(), data.size(), at) != static_cast<ssize_t>(data.size()))
      die("tree_stress: short write");
    std::string back(data.size(), '\0');
    check(::pread(fd, back.data(), back.size(), at), "read");
    ::close(fd);
  }
  void make_directory() { check(::mkdirat(root_, path().c_str(), 0755), "mkdir"); }
  void rename() {
    static const std::vector<unsigned> kinds{0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
    check(::renameat2(root_, path().c_str(), root_, path().c_str(), random_.of(kinds)), "rename");
  }
  void link() { check(::linkat(root_, path().c_str(), root_, path().c_str(), 0), "link"); }
  void symlink() {
    check(::symlinkat(name_of(random_.below(kNames)).c_str(), root_, path().c_str()), "symlink");
  }
  void remove() { check(::unlinkat(root_, path().c_str(), 0), "unlink"); }
  void remove_directory() { check(::unlinkat(root_, path().c_str(), AT_REMOVEDIR), "rmdir"); }
  void list() {
    int fd = ::openat(root_, random_.once_in(5) ? "." : path().c_str(), O_RDONLY | O_DIRECTORY);
    if (!check(fd, "opendir")) return;
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
    std::set<std::string> seen;
    for (const dirent* entry; (errno = 0, entry = ::readdir(stream.get())) != nullptr;)
      seen.insert(entry->d_name);
    if (errno != 0) check(-1, "readdir");
    // A directory that was removed meanwhile has nothing in it, not even these.
    struct stat info{};
    bool removed = ::fstat(fd, &info) == 0 && info.st_nlink == 0;
    if (!removed && (!seen.contains(".") || !seen.contains("..")))
      die("tree_stress: a directory without . and ..");
  }

  int root_;
  Random random_;
};

// The tree at rest.
class Check {
 public:
  std::size_t run(int root) {
    walk(root, "");
    for (const auto& [number, file] : files_) {
      if (file.found != file.links) {
        die("tree_stress: " + file.path + " has " + std::to_string(file.links) + " links, and " +
            std::to_string(file.found) + " names");
      }
    }
    return entries_;
  }

 private:
  struct File {
    std::string path;
    nlink_t links = 0;
    nlink_t found = 0;
  };

  [[noreturn]] static void unsound(const std::string& path, const std::string& why) {
    die("tree_stress: " + path + " " + why + ": " + std::strerror(errno));
  }

  std::set<std::string> names_in(int directory, const std::string& path) {
    int again = ::openat(directory, ".", O_RDONLY | O_DIRECTORY);
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(again), ::closedir);
    if (stream == nullptr) unsound(path, "cannot be listed");
    std::set<std::string> out;
    while (const dirent* entry = ::readdir(stream.get())) {
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!out.insert(name).second) unsound(path + "/" + name, "is listed twice");
      struct stat info{};
      if (::fstatat(directory, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        unsound(path + "/" + name, "is listed and not there");
      if (IFTODT(info.st_mode) != entry->d_type) unsound(path + "/" + name, "is listed as another type");
    }
    return out;
  }

  void walk(int directory, const std::string& path) {
    auto names = names_in(directory, path);
    for (std::uint64_t number = 0; number < kNames; ++number) {
      struct stat info{};
      auto name = name_of(number);
      bool there = ::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
      if (there != names.contains(name))
        unsound(path + "/" + name, there ? "is there and not listed" : "is not there");
    }
    std::size_t below = 0;
    for (const auto& name : names) below += visit(directory, name, path + "/" + name) ? 1U : 0U;
    struct stat info{};
    if (::fstat(directory, &info) != 0) unsound(path, "cannot be stat'ed");
    if (!path.empty() && info.st_nlink != below + 2) unsound(path, "has a wrong count of links");
  }

  // True for a directory.
  bool visit(int directory, const std::string& name, const std::string& path) {
    ++entries_;
    struct stat info{};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      unsound(path, "cannot be stat'ed");
    if (!S_ISDIR(info.st_mode)) {
      auto& file = files_[info.st_ino];
      file = {.path = path, .links = info.st_nlink, .found = file.found + 1};
    }
    if (S_ISLNK(info.st_mode)) return false;
    int fd = ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) unsound(path, "cannot be opened");
    if (S_ISDIR(info.st_mode)) {
      walk(fd, path);
    } else {
      std::string data(static_cast<std::size_t>(info.st_size) + 1, '\0');
      if (::read(fd, data.data(), data.size()) != info.st_size) unsound(path, "is not as long as it says");
    }
    ::close(fd);
    return S_ISDIR(info.st_mode);
  }

  std::map<ino_t, File> files_;
  std::size_t entries_ = 0;
};

int run(const Options& options) {
  int root = ::open(options.text("folder").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) die("tree_stress: cannot open " + options.text("folder"));
  auto seed = options.seed();
  auto processes = options.number("check-only") != 0 ? 0 : options.number("processes");
  std::printf("tree_stress: seed %lu\n", static_cast<unsigned long>(seed));
  std::fflush(stdout);
  for (std::uint64_t worker = 0; worker < processes; ++worker) {
    pid_t pid = ::fork();
    if (pid < 0) die("tree_stress: fork");
    if (pid > 0) continue;
    Stress stress(root, seed + worker);
    for (auto left = options.number("operations") / processes; left > 0; --left) stress.step();
    std::_Exit(0);
  }
  bool failed = false;
  for (int status = 0; ::wait(&status) > 0;) failed |= status != 0;
  if (failed) return 1;
  std::printf("tree_stress: %zu entries, sound\n", Check().run(root));
  return 0;
}

}  // namespace

}  // namespace cloister::posix

int main(int argc, char** argv) {
  return cloister::posix::run(
      {argc,
       argv,
       {{"folder", ""}, {"seed", "0"}, {"operations", "10000"}, {"processes", "4"}, {"check-only", "0"}}});
}
