#include <unistd.h>

#include <cstdio>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/backend.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr std::size_t kMaxLog = 64 * 1024 * 1024;  // bytes

// Line by line, without what a terminal would take for an order.
Result<int> print_file(const std::string& path) {
  auto bytes = TRY(sys::read_file(path, kMaxLog));
  auto text = as_text(bytes);
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    while (line.ends_with('\r')) line.remove_suffix(1);  // a console ends its lines so
    fmt::print("{}\n", escape_controls(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return 0;
}

Result<int> logs(const Context& context, const std::string& name) {
  TRY(host::read_record(context.paths, name));
  return print_file(host::enclave_log_path(context.paths, name));
}

Result<int> console(const Context& context, const std::string& name) {
  auto record = TRY(host::read_record(context.paths, name));
  auto path = host::enclave_console_path(context.paths, name);
  if (::access(path.c_str(), F_OK) == 0) return print_file(path);
  if (record.backend == "process") {
    Error error(ErrorKind::not_found, fmt::format("enclave '{}' is processes, which have no console", name));
    return std::unexpected(std::move(error).with_hint("cloister logs"));
  }
  Error error(ErrorKind::not_found, fmt::format("enclave '{}' has no console", name));
  return std::unexpected(
      std::move(error).with_hint("only an enclave started with --debug has one, and nothing runs there"));
}

}  // namespace

void add_logs(CommandLine& line, const Context& context) {
  auto name = std::make_shared<std::string>(host::kDefaultEnclave);
  line.verb("logs", "Print what the enclave's supervisor has logged")
      .text("--name", *name, "the enclave's name")
      .example("cloister logs --name default")
      .action([&context, name] { return logs(context, *name); });
}

void add_console(CommandLine& line, const Context& context) {
  auto name = std::make_shared<std::string>(host::kDefaultEnclave);
  line.verb("console", "Print what a --debug enclave's kernel and supervisor have printed")
      .text("--name", *name, "the enclave's name")
      .example("cloister console --name default")
      .action([&context, name] { return console(context, *name); });
}

}  // namespace cloister::cli
