#include "builder/work.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "sys/file.h"
#include "sys/process.h"

namespace cloister::builder {

namespace {

constexpr std::size_t kMaxLog = 16 * 1024 * 1024;  // bytes of a program's output that are looked at
constexpr int kNoSuchProgram = 127;                // as shells have it

// In the child: from here on only exec or exit.
int become(const Program& program) {
  sys::Fd log(::open(program.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  sys::Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!log || !nothing || ::dup2(nothing.get(), 0) < 0 || ::dup2(log.get(), 1) < 0 ||
      ::dup2(log.get(), 2) < 0)
    return 1;
  ::umask(022);
  ::setenv("LC_ALL", "C.UTF-8", 1);
  ::setenv("TZ", "UTC", 1);
  for (const auto& [name, value] : program.changed) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> words;
  words.reserve(program.words.size() + 1);
  for (const auto& word : program.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  return errno == ENOENT ? kNoSuchProgram : 1;
}

// The last line that looks like an error, else the last that is there.
std::string last_words(const std::string& log) {
  auto bytes = sys::read_file(log, kMaxLog);
  if (!bytes) return "";
  std::string text(as_text(*bytes));
  std::string last;
  std::string error;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.find('\n', at), text.size());
    auto line = text.substr(at, end - at);
    at = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    last = line;
    if (line.starts_with("E:") || line.starts_with("ERROR:")) error = line;
  }
  return error.empty() ? last : error;
}

}  // namespace

Result<WorkFolder> WorkFolder::create(const std::string& parent) {
  std::string path = parent + "/cloister-image-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return fail_errno(parent);
  return WorkFolder(path);
}

WorkFolder::~WorkFolder() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Status run_program(const Program& program) {
  auto child = TRY(sys::fork_child([&] { return become(program); }));
  auto ended = TRY(child.wait());
  const auto& name = program.words.front();
  if (ended.shell_code() == 0) return {};
  auto words = last_words(program.log);
  if (ended.shell_code() == kNoSuchProgram && words.empty()) {
    Error missing(ErrorKind::not_found, fmt::format("{} is not installed", name));
    return std::unexpected(std::move(missing).with_hint(program.hint));
  }
  return fail(ErrorKind::unavailable, "{} failed ({}): {}", name, ended.shell_code(), words);
}

}  // namespace cloister::builder
