#include <cstdio>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/mounts.h"
#include "host/service_manager.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string name = host::kDefaultEnclave;
  std::string image;
  host::SyncOptions sync;
  bool foreground = false;
};

Result<int> sync(const Context& context, const Options& options) {
  auto enclave = TRY(host::read_record(context.paths, options.name));
  auto open = [&] { return context.open_session(enclave, options.image); };
  auto greet = [&] {
    fmt::print(stderr,
               "cloister: {} is the shared folder of enclave '{}' now (from_server.txt says what is where)\n",
               options.sync.directory, enclave.name);
  };
  if (options.foreground) {
    auto ready = [&] {
      greet();
      host::tell_service_manager(fmt::format("READY=1\nSTATUS={} is the shared folder of enclave '{}'",
                                             escape_controls(options.sync.directory), enclave.name));
    };
    TRY(host::run_in_foreground(context.paths, enclave, open, options.sync, ready));
    return 0;
  }
  TRY(host::start_mount(context.paths, enclave, open, options.sync));
  greet();
  return 0;
}

Result<int> unsync(const Context& context, const std::string& directory) {
  if (TRY(share::remove_dead_mount(directory))) return 0;
  TRY(host::stop_mount(context.paths, TRY(host::find_mount(context.paths, directory))));
  return 0;
}

}  // namespace

void add_sync(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("sync", "Mount the enclave's shared folder on a directory")
      .text("-d,--directory", options->sync.directory, "an empty directory; made if it is missing", true)
      .flag("--read-only", options->sync.read_only, "look, do not touch")
      .flag("--allow-other", options->sync.allow_other, "let other users of this machine in")
      .flag("--foreground", options->foreground, "do not detach: end with Ctrl-C, umount or unsync")
      .text("--image", options->image,
            "measurements (JSON) that the enclave must have (default: those noted at `up`)")
      .text("--name", options->name, "the enclave's name")
      .example("cloister sync -d ~/shared")
      .action([&context, options] { return sync(context, *options); });
  auto directory = std::make_shared<std::string>();
  line.verb("unsync", "Unmount a shared folder (umount does the same)")
      .text("-d,--directory", *directory, "the directory", true)
      .action([&context, directory] { return unsync(context, *directory); });
}

}  // namespace cloister::cli
