#include "host/tool.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <sstream>

#include "sys/fd.h"
#include "sys/process.h"

namespace cloister::host {

namespace {

constexpr int kNotStarted = 127;
constexpr std::size_t kReadAtOnce = 64 * 1024;  // bytes

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

// false: the stream has ended.
Result<bool> take_some(int fd, std::string& text) {
  std::array<char, kReadAtOnce> buffer{};
  auto n = ::read(fd, buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return true;
  if (n < 0) return fail_errno("read");
  text.append(buffer.data(), static_cast<std::size_t>(n));
  if (text.size() > kMaxToolOutput)
    return fail(ErrorKind::exhausted, "it printed more than {} bytes", kMaxToolOutput);
  return n > 0;
}

// Both streams to their ends.
Status collect(sys::Fd& out, sys::Fd& err, ToolOutput& output, sys::Deadline deadline) {
  while (out || err) {
    std::array<pollfd, 2> entries{{{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}}};
    int ready = ::poll(entries.data(), entries.size(), deadline.poll_timeout());
    if (ready < 0 && errno != EINTR) return fail_errno("poll");
    if (ready <= 0 && deadline.passed()) return fail(ErrorKind::unavailable, "it did not end in time");
    if (ready <= 0) continue;
    if (out && entries[0].revents != 0 && !TRY(take_some(out.get(), output.out))) out.reset();
    if (err && entries[1].revents != 0 && !TRY(take_some(err.get(), output.err))) err.reset();
  }
  return {};
}

Result<ToolOutput> run(const std::string& path, const std::vector<std::string>& words,
                       const std::vector<std::string>& variables, sys::milliseconds timeout) {
  auto deadline = sys::Deadline::after(timeout);
  auto out = TRY(sys::make_pipe());
  auto err = TRY(sys::make_pipe());
  auto child = TRY(sys::fork_child([&] {
    ::setsid();
    int nothing = ::open("/dev/null", O_RDONLY);
    if (nothing < 0 || ::dup2(nothing, 0) < 0 || ::dup2(out.write.get(), 1) < 0 ||
        ::dup2(err.write.get(), 2) < 0)
      return kNotStarted;
    return become_tool(path, words, variables);
  }));
  out.write.reset();
  err.write.reset();
  ToolOutput output;
  TRY(collect(out.read, err.read, output, deadline));
  output.code = TRY(child.wait(deadline)).shell_code();
  return output;
}

}  // namespace

Result<std::string> find_tool(const Environment& environment, const std::string& name) {
  if (name.starts_with('/') && ::access(name.c_str(), X_OK) == 0) return name;
  std::istringstream path(environment("PATH").value_or("/usr/bin:/bin:/usr/sbin:/sbin"));
  for (std::string directory; std::getline(path, directory, ':');) {
    auto file = fmt::format("{}/{}", directory, name);
    if (directory.starts_with('/') && ::access(file.c_str(), X_OK) == 0) return file;
  }
  return fail(ErrorKind::not_found, "there is no {} on the PATH", name);
}

std::vector<std::string> tool_environment(const Environment& environment,
                                          const std::vector<std::string>& names) {
  std::vector<std::string> out{"LC_ALL=C"};
  auto add = [&](const std::string& name) {
    if (auto value = environment(name)) out.push_back(fmt::format("{}={}", name, *value));
  };
  add("PATH");
  add("HOME");
  for (const auto& name : names) add(name);
  return out;
}

RunTool system_tools(const Environment& environment, std::vector<std::string> variables) {
  return
      [environment, variables = std::move(variables)](const auto& words, auto timeout) -> Result<ToolOutput> {
        auto path = TRY(find_tool(environment, words.front()));
        return run(path, words, variables, timeout).context(words.front());
      };
}

int become_tool(const std::string& path, const std::vector<std::string>& words,
                const std::vector<std::string>& variables) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);  // the caller may hold signals back
  ::signal(SIGPIPE, SIG_DFL);
  if (!sys::close_descriptors_except(STDERR_FILENO + 1, {})) return kNotStarted;
  ::execve(path.c_str(), pointers(words).data(), pointers(variables).data());
  return kNotStarted;
}

}  // namespace cloister::host
