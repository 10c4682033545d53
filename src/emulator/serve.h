// Serve: from options to a running service, in the foreground or detached.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::emulator {

struct ServeOptions {
  std::string directory;
  std::optional<std::string> listen;           // default: tcp://127.0.0.1:<the port of init>
  std::vector<std::string> development_roots;  // PEM files
  std::optional<int> ready_fd;                 // gets the line "listening on …"; default: standard output
  std::optional<std::string> pid_file;
  bool plain_http = false;
};

// Returns when SIGTERM or SIGINT has ended the service in order.
Status serve(const ServeOptions& options);
// Returns when a process of its own session serves; its log is kms.log.
Status serve_detached(const ServeOptions& options);

}  // namespace cloister::emulator
