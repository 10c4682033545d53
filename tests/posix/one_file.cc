// one_file --file PATH [--base OFFSET] [--seed N] [--operations N]: random reads, writes, mappings, sizes,
// holes and copies of one file, each compared with a model in memory. The model is a window of 1 MiB that
// begins at the base; what is below is a hole.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "random.h"

namespace cloister::posix {

namespace {

constexpr std::size_t kWindow = 1024 * 1024;  // bytes
constexpr std::size_t kMaxPart = 16 * 1024;   // bytes of one operation
constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kWholeCheck = 1000;  // operations between two comparisons of all

class OneFile {
 public:
  OneFile(std::string path, off_t base, std::uint64_t seed)
      : path_(std::move(path)), base_(base), seed_(seed), random_(seed) {
    open(O_CREAT | O_EXCL);
  }

  void step() {
    using Operation = void (OneFile::*)();
    static const std::vector<Operation> all{
        &OneFile::read,     &OneFile::read,      &OneFile::write,     &OneFile::write,      &OneFile::write,
        &OneFile::map_read, &OneFile::map_write, &OneFile::map_write, &OneFile::truncate,   &OneFile::punch,
        &OneFile::allocate, &OneFile::copy,      &OneFile::append,    &OneFile::open_again, &OneFile::sync};
    ++step_;
    (this->*random_.of(all))();
    check_size();
    if (step_ % kWholeCheck == 0) check_whole();
  }

  void check_whole() {
    what_ = "the whole file";
    std::string seen(model_.size() + 1, '\0');
    if (get(::pread(fd_, seen.data(), seen.size(), base_)) != model_.size())
      fail("a size that is not the file's");
    seen.pop_back();
    compare(seen, 0);
    check_hole();
  }

 private:
  struct Part {
    std::size_t at;
    std::size_t size;
    off_t begin(off_t base) const { return base + static_cast<off_t>(at); }
  };

  [[noreturn]] void fail(const std::string& why) {
    die("one_file: seed " + std::to_string(seed_) + ", step " + std::to_string(step_) + ": " + what_ + ": " +
        why);
  }
  std::size_t get(ssize_t value) {
    if (value < 0) fail(std::strerror(errno));
    return static_cast<std::size_t>(value);
  }
  Part part(const char* what, std::size_t end) {
    Part out{.at = random_.below(end), .size = 1 + random_.below(kMaxPart)};
    out.size = std::min(out.size, end - out.at);
    what_ = std::string(what) + " " + std::to_string(out.at) + "+" + std::to_string(out.size);
    return out;
  }
  void grow(std::size_t size) {
    if (size > model_.size()) model_.resize(size, '\0');
  }
  void compare(std::string_view seen, std::size_t at) {
    if (seen.empty()) return;
    auto wanted = std::string_view(model_).substr(at, seen.size());
    if (seen == wanted) return;
    auto differs = std::mismatch(seen.begin(), seen.end(), wanted.begin(), wanted.end()).first - seen.begin();
    fail("wrong byte at " + std::to_string(at + static_cast<std::size_t>(differs)));
  }
  void check_size() {
    struct stat info{};
    get(::fstat(fd_, &info));
    auto wanted = base_ + static_cast<off_t>(model_.size());
    if (info.st_size != wanted)
      fail("size " + std::to_string(info.st_size) + " instead of " + std::to_string(wanted));
  }
  // Some place below the base, which nothing was ever written to.
  void check_hole() {
    if (base_ == 0) return;
    char byte = 1;
    auto at = static_cast<off_t>(random_.below(static_cast<std::uint64_t>(base_)));
    if (get(::pread(fd_, &byte, 1, at)) != 1 || byte != 0)
      fail("a hole that is none at " + std::to_string(at));
  }
  void open(int more) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC | more, 0600);
    if (fd_ < 0) fail(path_ + ": " + std::strerror(errno));
    if ((more & O_CREAT) != 0) get(::ftruncate(fd_, base_));
  }

  void read() {
    auto [at, size] = part("read", kWindow);
    std::string seen(size, '\0');
    auto n = get(::pread(fd_, seen.data(), size, base_ + static_cast<off_t>(at)));
    auto there = model_.size() > at ? std::min(size, model_.size() - at) : 0;
    if (n != there) fail("got " + std::to_string(n) + " bytes instead of " + std::to_string(there));
    compare({seen.data(), n}, at);
  }
  void put(std::size_t at, const std::string& data) {
    grow(at + data.size());
    model_.replace(at, data.size(), data);
  }
  void write() {
    auto chosen = part("write", kWindow);
    auto data = random_.bytes(chosen.size);
    if (get(::pwrite(fd_, data.data(), data.size(), chosen.begin(base_))) != data.size())
      fail("a short write");
    put(chosen.at, data);
  }
  void append() {
    if (model_.size() + kMaxPart > kWindow) return;
    auto chosen = part("append", kMaxPart);
    auto data = random_.bytes(chosen.size);
    int fd = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    get(fd);
    if (get(::write(fd, data.data(), data.size())) != data.size()) fail("a short write");
    get(::close(fd));
    put(model_.size(), data);
  }
  // The mapping of that part, for as long as `use` runs.
  template <typename Use>
  void mapped(const Part& chosen, int protection, Use use) {
    auto page = chosen.at / kPage * kPage;
    auto length = chosen.at + chosen.size - page;
    auto offset = base_ + static_cast<off_t>(page);
    auto* memory = static_cast<char*>(::mmap(nullptr, length, protection, MAP_SHARED, fd_, offset));
    if (memory == MAP_FAILED) fail(std::strerror(errno));
    use(memory + (chosen.at - page));
    if (random_.once_in(3)) get(::msync(memory, length, MS_SYNC));
    get(::munmap(memory, length));
  }
  void map_read() {
    if (model_.empty()) return;
    auto chosen = part("read a mapping", model_.size());
    mapped(chosen, PROT_READ, [&](char* memory) { compare({memory, chosen.size}, chosen.at); });
  }
  void map_write() {
    if (model_.empty()) return;
    auto chosen = part("write a mapping", model_.size());
    auto data = random_.bytes(chosen.size);
    mapped(chosen, PROT_READ | PROT_WRITE,
           [&](char* memory) { std::memcpy(memory, data.data(), data.size()); });
    put(chosen.at, data);
  }
  void truncate() {
    auto [size, unused] = part("truncate", kWindow);
    get(::ftruncate(fd_, base_ + static_cast<off_t>(size)));
    model_.resize(size, '\0');
  }
  void punch() {
    auto chosen = part("punch", kWindow);
    get(::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, chosen.begin(base_),
                    static_cast<off_t>(chosen.size)));
    auto end = std::min(model_.size(), chosen.at + chosen.size);
    for (auto at = chosen.at; at < end; ++at) model_[at] = '\0';
  }
  void allocate() {
    auto chosen = part("allocate", kWindow);
    bool keep = random_.once_in(2);
    get(::fallocate(fd_, keep ? FALLOC_FL_KEEP_SIZE : 0, chosen.begin(base_),
                    static_cast<off_t>(chosen.size)));
    if (!keep) grow(chosen.at + chosen.size);
  }
  void copy() {
    if (model_.empty()) return;
    auto from = part("copy from", model_.size());
    auto to = random_.below(kWindow - from.size + 1);
    if (to < from.at + from.size && from.at < to + from.size) return;  // overlapping: EINVAL
    what_ += " to " + std::to_string(to);
    off_t read_at = from.begin(base_);
    off_t write_at = base_ + static_cast<off_t>(to);
    auto n = get(::copy_file_range(fd_, &read_at, fd_, &write_at, from.size, 0));
    if (n == 0) fail("nothing copied");
    put(to, model_.substr(from.at, n));
  }
  void open_again() {
    what_ = "close and open";
    get(::close(fd_));
    open(0);
  }
  void sync() {
    what_ = "fsync";
    get(random_.once_in(2) ? ::fsync(fd_) : ::fdatasync(fd_));
  }

  std::string path_;
  off_t base_;
  std::uint64_t seed_;
  Random random_;
  std::string what_ = "open";
  std::uint64_t step_ = 0;
  int fd_ = -1;
  std::string model_;
};

int run(const Options& options) {
  auto seed = options.seed();
  if (options.number("base") % kPage != 0) die("one_file: the base is no multiple of a page's size");
  std::printf("one_file: seed %lu, %s operations, base %s\n", static_cast<unsigned long>(seed),
              options.text("operations").c_str(), options.text("base").c_str());
  std::fflush(stdout);
  OneFile file(options.text("file"), static_cast<off_t>(options.number("base")), seed);
  for (auto left = options.number("operations"); left > 0; --left) file.step();
  file.check_whole();
  std::printf("one_file: as the model\n");
  return 0;
}

}  // namespace

}  // namespace cloister::posix

int main(int argc, char** argv) {
  return cloister::posix::run(
      {argc, argv, {{"file", ""}, {"base", "0"}, {"seed", "0"}, {"operations", "10000"}}});
}
