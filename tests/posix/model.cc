#include "model.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cloister::posix {

namespace {

constexpr std::size_t kMaxName = 255;    // bytes
constexpr std::size_t kMaxHandles = 12;  // pairs of descriptors open at once
constexpr std::size_t kMaxHistory = 30;  // steps that a failure prints
constexpr std::size_t kMaxDepth = 3;     // components below the process's directory

// Bytes that a terminal would act on as ?, and the longest names short.
std::string printable(std::string text) {
  for (auto& byte : text) {
    if (byte != '\n' && (byte < ' ' || byte > '~')) byte = '?';
  }
  static const std::string many(200, 'x');
  for (std::size_t at; (at = text.find(many)) != std::string::npos;) {
    text.replace(at, text.find_first_not_of('x', at) - at, "X");
  }
  return text;
}

std::string to_text(const Outcome& outcome) {
  std::string out = outcome.value < 0 ? std::strerror(outcome.error) : std::to_string(outcome.value);
  return outcome.seen.empty() ? out : out + " " + outcome.seen;
}

}  // namespace

Outcome result(long value) {
  return {.value = value, .error = value < 0 ? errno : 0, .seen = {}};
}

Model::Model(std::array<int, 2> roots, std::uint64_t seed, std::size_t worker)
    : roots_(roots),
      seed_(seed),
      worker_(worker),
      tag_("-" + std::to_string(worker)),
      random_(seed + worker * 1'000'003) {
  for (const char* each : {"a", "b", "with blank", "\xff\xfe\x01\n",
                           "gr\xc3\xb6\xc3\x9f"
                           "e"}) {
    names_.push_back(each + tag_);
  }
  names_.push_back(std::string(kMaxName - tag_.size(), 'x') + tag_);
}

std::string Model::name() {
  if (random_.once_in(300)) return std::string(kMaxName + 1 - tag_.size(), 'x') + tag_;
  return random_.of(names_);
}

std::string Model::path() {
  if (random_.once_in(6)) return "common/" + name();
  std::string out = "p" + std::to_string(worker_);
  for (auto count = 1 + random_.below(kMaxDepth); count > 0; --count) out += "/" + name();
  return out;
}

void Model::fail(const std::string& what, const std::string& folder, const std::string& reference) {
  std::string text = "model: seed " + std::to_string(seed_) + ", process " + std::to_string(worker_) +
                     ", step " + std::to_string(step_) + ": " + what + "\n  folder:    " + folder +
                     "\n  reference: " + reference + "\nbefore that:\n";
  for (const auto& each : history_) text += "  " + each + "\n";
  die(printable(std::move(text)));
}

Outcome Model::both(const std::string& what, const std::function<Outcome(Side)>& call) {
  auto folder = call(0);
  auto reference = call(1);
  if (folder != reference) fail(what, to_text(folder), to_text(reference));
  ++calls_;
  if (folder.value >= 0) ++successes_;
  history_.push_back(what + " = " + to_text(folder));
  if (history_.size() > kMaxHistory) history_.pop_front();
  return folder;
}

const Model::Handle* Model::handle() {
  return handles_.empty() ? nullptr : &handles_[random_.below(handles_.size())];
}

void Model::keep(const std::string& what, const std::function<int(Side)>& open) {
  Handle made;
  auto outcome = both(what, [&](Side side) {
    made.fd[static_cast<std::size_t>(side)] = open(side);
    return result(made.fd[static_cast<std::size_t>(side)] < 0 ? -1 : 0);
  });
  if (outcome.value < 0) return;
  handles_.push_back(made);
  if (handles_.size() > kMaxHandles) close_handle();
}

void Model::close_handle() {
  if (handles_.empty()) return;
  auto at = random_.below(handles_.size());
  auto closed = handles_[at];
  handles_.erase(handles_.begin() + static_cast<long>(at));
  both("close", [&](Side side) { return result(::close(closed.fd[static_cast<std::size_t>(side)])); });
}

void Model::step() {
  ++step_;
  static const unsigned total = [] {
    unsigned sum = 0;
    for (const auto& each : operations()) sum += each.weight;
    return sum;
  }();
  auto chosen = random_.below(total);
  for (const auto& each : operations()) {
    if (chosen < each.weight) return (this->*each.run)();
    chosen -= each.weight;
  }
}

void Model::compare_trees() {
  for (const auto& directory : {"p" + std::to_string(worker_), std::string("common")}) {
    std::array<std::string, 2> trees;
    for (std::size_t side = 0; side < 2; ++side) {
      int fd = ::openat(roots_[side], directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd < 0) die("model: " + directory + ": " + std::strerror(errno));
      trees[side] = describe_tree(fd, tag_);
      ::close(fd);
    }
    if (trees[0] == trees[1]) continue;
    std::size_t line = 0;
    for (std::size_t at = 0; at < trees[0].size() && at < trees[1].size() && trees[0][at] == trees[1][at];
         ++at) {
      if (trees[0][at] == '\n') line = at + 1;
    }
    auto at_line = [&](const std::string& tree) {
      return line < tree.size() ? tree.substr(line, tree.find('\n', line) - line) : std::string("(no more)");
    };
    fail("the tree " + directory, at_line(trees[0]), at_line(trees[1]));
  }
}

void Model::report() const {
  std::printf("model: process %zu: %lu calls, %lu of them successful\n", worker_,
              static_cast<unsigned long>(calls_), static_cast<unsigned long>(successes_));
  std::fflush(stdout);
}

const std::vector<Model::Operation>& Model::operations() {
  static const std::vector<Operation> all{
      {12, &Model::open_file},     {3, &Model::open_directory}, {2, &Model::open_temporary},
      {8, &Model::make_directory}, {6, &Model::remove},         {3, &Model::remove_directory},
      {8, &Model::rename},         {5, &Model::link},           {2, &Model::link_handle},
      {4, &Model::symlink},        {3, &Model::read_link},      {3, &Model::change_mode},
      {2, &Model::truncate_path},  {3, &Model::set_times},      {5, &Model::look},
      {3, &Model::set_xattr},      {3, &Model::get_xattr},      {1, &Model::remove_xattr},
      {1, &Model::file_system},    {4, &Model::close_handle},   {5, &Model::read},
      {6, &Model::pread},          {6, &Model::write},          {6, &Model::pwrite},
      {3, &Model::seek},           {4, &Model::seek_data},      {3, &Model::truncate_handle},
      {4, &Model::allocate},       {4, &Model::copy_range},     {5, &Model::map},
      {1, &Model::sync},           {3, &Model::look_at_handle}, {3, &Model::list},
  };
  return all;
}

}  // namespace cloister::posix
