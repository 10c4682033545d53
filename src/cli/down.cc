#include <cstdio>

#include "cli/verbs.h"
#include "host/background.h"
#include "host/mounts.h"
#include "host/process_backend.h"
#include "host/proxy_process.h"

namespace cloister::cli {

namespace {

Result<int> down(const Context& context, const std::string& name) {
  auto record = TRY(host::read_record(context.paths, name));
  for (const auto& mount : host::list_mounts(context.paths, name))
    TRY(host::stop_mount(context.paths, mount));
  TRY(host::stop_proxy(context.paths, name));
  TRY(host::stop_process_enclave(context.paths, record));
  fmt::print(stderr, "cloister: enclave '{}' is down; its memory and everything in it is gone\n", name);
  return 0;
}

}  // namespace

void add_down(CommandLine& line, const Context& context) {
  auto name = std::make_shared<std::string>(host::kDefaultEnclave);
  line.verb("down", "End an enclave, its jobs, its shared folders and its proxy")
      .text("--name", *name, "the enclave's name")
      .example("cloister down")
      .action([&context, name] { return down(context, *name); });
}

}  // namespace cloister::cli
