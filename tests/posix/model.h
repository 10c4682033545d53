// The same random operations on two trees, the shared folder and a plain tmpfs: after every step both must
// have returned the same, and every so often the trees must be alike in all that POSIX promises.
#pragma once

#include <sys/stat.h>

#include <array>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "random.h"

namespace cloister::posix {

inline constexpr std::size_t kMaxFile = 128 * 1024;  // bytes

// What one call gave: its value or errno, and what it let the program see.
struct Outcome {
  long value = 0;
  int error = 0;
  std::string seen;
  bool operator==(const Outcome&) const = default;
};
Outcome result(long value);

// Type, mode, links, size, and the modification time where utimensat(2) has set it (all such are before
// 2021).
std::string describe(const struct stat& info);
// One line per entry below the directory, sorted. Only names that end in `tag` count.
std::string describe_tree(int directory, const std::string& tag);
std::string list_directory(int directory, const std::string& tag);
std::string list_xattrs(int fd);

// One process's part. It has the directory pN, and names of its own in the directory `common` of all
// processes.
class Model {
 public:
  using Side = int;  // 0: the folder, 1: the reference
  Model(std::array<int, 2> roots, std::uint64_t seed, std::size_t worker);
  void step();
  void compare_trees();
  // A line on how many calls there were, and how many of them did something.
  void report() const;

 private:
  struct Handle {
    std::array<int, 2> fd{-1, -1};
  };
  struct Operation {
    unsigned weight;
    void (Model::*run)();
  };
  static const std::vector<Operation>& operations();

  std::string name();
  std::string path();
  off_t offset() { return static_cast<off_t>(random_.below(kMaxFile)); }
  // Runs it on both sides, and ends the program where they differ.
  Outcome both(const std::string& what, const std::function<Outcome(Side)>& call);
  [[noreturn]] void fail(const std::string& what, const std::string& folder, const std::string& reference);
  const Handle* handle();
  void keep(const std::string& what, const std::function<int(Side)>& open);
  void write_at(bool positioned);
  void read_at(bool positioned);

  // operations.cc: names
  void open_file();
  void open_directory();
  void open_temporary();
  void make_directory();
  void remove();
  void remove_directory();
  void rename();
  void link();
  void link_handle();
  void symlink();
  void read_link();
  void change_mode();
  void truncate_path();
  void set_times();
  void look();
  void set_xattr();
  void get_xattr();
  void remove_xattr();
  void file_system();
  // handles.cc: open files
  void close_handle();
  void read() { read_at(false); }
  void pread() { read_at(true); }
  void write() { write_at(false); }
  void pwrite() { write_at(true); }
  void seek();
  void seek_data();
  void truncate_handle();
  void allocate();
  void copy_range();
  void map();
  void sync();
  void look_at_handle();
  void list();

  std::array<int, 2> roots_;
  std::uint64_t seed_;
  std::size_t worker_;
  std::string tag_;
  Random random_;
  std::uint64_t step_ = 0;
  std::uint64_t calls_ = 0;
  std::uint64_t successes_ = 0;
  std::vector<std::string> names_;
  std::deque<Handle> handles_;
  std::deque<std::string> history_;
  std::set<ino_t> mapped_;  // of the reference: there a mapping that is read fills holes
};

}  // namespace cloister::posix
