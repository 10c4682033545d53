#include <cstdio>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/process_backend.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr std::size_t kMaxLog = 64 * 1024 * 1024;  // bytes

Result<int> logs(const Context& context, const std::string& name) {
  TRY(host::read_record(context.paths, name));
  auto bytes = TRY(sys::read_file(host::enclave_log_path(context.paths, name), kMaxLog));
  auto text = as_text(bytes);
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    fmt::print("{}\n", escape_controls(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return 0;
}

}  // namespace

void add_logs(CommandLine& line, const Context& context) {
  auto name = std::make_shared<std::string>(host::kDefaultEnclave);
  line.verb("logs", "Print what the enclave's supervisor has logged")
      .text("--name", *name, "the enclave's name")
      .example("cloister logs --name default")
      .action([&context, name] { return logs(context, *name); });
}

}  // namespace cloister::cli
