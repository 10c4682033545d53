#include <unistd.h>

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
  std::string ownership = "mine";
  bool foreground = false;
};

// Who owns what is a statement about every user of this machine: root alone can make it.
Result<share::Ownership> read_ownership(const std::string& word) {
  if (word == "mine") return share::Ownership::mounting_user;
  if (word != "keep") return fail(ErrorKind::invalid, "--ownership is mine or keep, not '{}'", word);
  if (::geteuid() == 0) return share::Ownership::keep;
  Error denied(ErrorKind::denied, "--ownership=keep is for root: it gives files to other users");
  return std::unexpected(std::move(denied).with_hint("leave it out: every file is yours then"));
}

Result<int> sync(const Context& context, Options options) {
  options.sync.ownership = TRY(read_ownership(options.ownership));
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
      .flag("--exclusive", options->sync.exclusive,
            "keep what is written in this machine's cache for a while: faster, for one mount at a time; what "
            "a job changes in a file that is open here stays unseen")
      .text("--ownership", options->ownership,
            "mine: every file shows as yours; keep: files have owners of their own (for root)")
      .flag("--foreground", options->foreground, "do not detach: end with Ctrl-C, umount or unsync")
      .text("--image", options->image,
            "measurements (JSON) that the enclave must have (default: those noted at `up`)")
      .text("--name", options->name, "the enclave's name")
      .example("cloister sync -d ~/shared")
      .action([&context, options] { return sync(context, *options); });
  auto directory = std::make_shared<std::string>();
  line.verb("unsync", "Unmount a shared folder (umount does the same)")
      .text("-d,--directory", *directory, "the directory", true)
      .example("cloister unsync -d ~/shared")
      .action([&context, directory] { return unsync(context, *directory); });
}

}  // namespace cloister::cli
