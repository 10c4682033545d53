#include "enclave/entry_point.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/bytes.h"

namespace cloister::enclave {

namespace {

struct Interpreter {
  std::string_view suffix;
  std::string_view program;
  std::vector<std::string> flags;
};

// Python: -s keeps user packages out, as -I does, but the script's own directory stays importable, because an
// application of several modules is the rule. That directory is the package: whoever signed the script signed
// its modules. Variables count (no -E): all there are stand in the signed manifest, so PYTHONPATH is the
// owner's word.
const std::array<Interpreter, 4>& interpreters() {
  static const std::array<Interpreter, 4> kTable{{
      {".py", "/usr/bin/python3", {"-s"}},
      {".sh", "/bin/sh", {}},
      {".R", "/usr/bin/Rscript", {"--vanilla"}},
      {".js", "/usr/bin/node", {}},
  }};
  return kTable;
}

Status check_name(const std::string& entry) {
  auto checked = sys::split_relative(entry);
  if (!checked)
    return fail(ErrorKind::denied, "'{}' is not a file of the package: {}", entry, checked.error().message());
  if (entry.starts_with('-'))
    return fail(ErrorKind::denied, "'{}' looks like a flag, not like a file of the package", entry);
  return {};
}

Result<sys::Fd> open_entry(const sys::Dir& package, const std::string& entry) {
  auto fd = package.open_regular(entry);
  if (fd) return fd;
  if (fd.error().kind() == ErrorKind::not_found)
    return fail(ErrorKind::not_found, "the package has no file '{}'", entry);
  return fail(ErrorKind::denied, "'{}' may not be run: {}", entry, fd.error().message());
}

bool begins_with_shebang(int fd) {
  std::array<char, 2> start{};
  return ::pread(fd, start.data(), start.size(), 0) == 2 && start[0] == '#' && start[1] == '!';
}

// "#!/usr/bin/env python3" of a file that is not executable: what the kernel would have run.
Result<std::vector<std::string>> shebang_of(int fd, const std::string& entry) {
  std::array<char, kMaxShebang> buffer{};
  ssize_t n = ::pread(fd, buffer.data(), buffer.size(), 2);
  std::string_view line(buffer.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  auto end = line.find('\n');
  if (end == std::string_view::npos)
    return fail(ErrorKind::denied, "'{}': its first line is longer than {} bytes", entry, kMaxShebang);
  line = line.substr(0, end);
  auto begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos || line[begin] != '/')
    return fail(ErrorKind::denied, "'{}': no interpreter in its first line", entry);
  line = line.substr(begin);
  auto blank = line.find_first_of(" \t\r");
  std::vector<std::string> out{std::string(line.substr(0, blank))};
  if (blank == std::string_view::npos) return out;
  auto argument = line.find_first_not_of(" \t\r", blank);
  if (argument != std::string_view::npos)
    out.emplace_back(line.substr(argument, line.find_last_not_of(" \t\r") + 1 - argument));
  return out;
}

Command with_arguments(std::vector<std::string> argv, const std::vector<std::string>& arguments) {
  Command command{.program = argv.front(), .argv = std::move(argv)};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

Result<Command> choose_command(const sys::Dir& package, const std::string& entry,
                               const std::vector<std::string>& arguments) {
  TRY(check_name(entry));
  auto fd = TRY(open_entry(package, entry));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(entry);
  std::string path = fmt::format("{}/{}", kPackageDirectory, entry);
  for (const auto& interpreter : interpreters()) {
    if (!entry.ends_with(interpreter.suffix)) continue;
    std::vector<std::string> argv{std::string(interpreter.program)};
    argv.insert(argv.end(), interpreter.flags.begin(), interpreter.flags.end());
    argv.push_back(path);
    return with_arguments(std::move(argv), arguments);
  }
  if ((info.st_mode & S_IXUSR) != 0) return with_arguments({path}, arguments);
  if (begins_with_shebang(fd.get())) {
    auto argv = TRY(shebang_of(fd.get(), entry));
    argv.push_back(path);
    return with_arguments(std::move(argv), arguments);
  }
  return fail(ErrorKind::denied, "'{}' is not executable, and no interpreter is known for its name", entry);
}

}  // namespace cloister::enclave
