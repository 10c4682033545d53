#include "emulator/commands.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>

#include "base/log.h"
#include "emulator/installation.h"
#include "emulator/instance_lock.h"
#include "emulator/principals.h"
#include "emulator/serve.h"
#include "iam/policy.h"
#include "sys/file.h"

namespace cloister::emulator {

namespace {

constexpr int kUsage = 2;
constexpr mode_t kPrivateMask = 077;

sys::UnixMillis now() {
  return sys::SystemClock().now();
}

struct InitOptions {
  std::string directory;
  Settings settings;
};

Status init(const InitOptions& options) {
  const auto& directory = options.directory;
  bool made = TRY(Installation::init(directory, options.settings, now()).context("init"));
  if (!made) {
    fmt::print("{} holds a key service already: left as it is\n", directory);
    return {};
  }
  fmt::print("made a key service in {}\n", directory);
  fmt::print("  owner of keys:   source {}/owner.env\n", directory);
  fmt::print("  enclave's host:  source {}/user.env\n", directory);
  fmt::print("  start it:        cloister-kms serve --dir {}\n", directory);
  return {};
}

struct PrincipalOptions {
  std::string directory;
  std::string user;
  std::string role;
  std::string account;
  std::string policy_file;
  std::string trust_file;
  std::string env_file;
};

Result<std::optional<std::string>> read_policy(const std::string& file) {
  if (file.empty()) return std::optional<std::string>();
  auto text = TRY(sys::read_file(file, iam::kMaxPolicyBytes));
  return std::optional<std::string>(as_text(text));
}

Status principal(const PrincipalOptions& options) {
  auto installation = TRY(Installation::open(options.directory));
  NewPrincipal wanted{.name = options.role.empty() ? options.user : options.role,
                      .role = !options.role.empty(),
                      .account = options.account,
                      .identity_policy = TRY(read_policy(options.policy_file)),
                      .trust_policy = TRY(read_policy(options.trust_file))};
  return add_principal(installation.store(), installation.directory(), wanted, options.env_file, now())
      .context("principal");
}

struct SessionOptions {
  std::string directory;
  SessionRequest request{.name = "session"};
  std::int64_t seconds = kDefaultSession / 1000;
  std::string policy_file;
  std::string env_file;
};

Status session(SessionOptions options) {
  auto installation = TRY(Installation::open(options.directory));
  constexpr std::int64_t kMaxSeconds = kLongestSession / 1000 + 1;  // what is longer is refused as too long
  options.request.lifetime = std::clamp(options.seconds, std::int64_t{0}, kMaxSeconds) * 1000;
  options.request.policy = TRY(read_policy(options.policy_file));
  return add_session(installation.store(), installation.directory(), options.request, options.env_file, now())
      .context("session");
}

void add_directory(CLI::App* command, std::string& directory) {
  command->add_option("--dir", directory, "data directory")->required();
}

// Each adds one verb; the callback leaves its outcome in `status`.
void add_init(CLI::App& app, Status& status) {
  auto options = std::make_shared<InitOptions>();
  auto* command =
      app.add_subcommand("init", "make the data directory, its certificates and two sets of credentials");
  add_directory(command, options->directory);
  command->add_option("--region", options->settings.region, "region in ARNs")->capture_default_str();
  command->add_option("--account", options->settings.account, "account in ARNs, 12 digits")
      ->capture_default_str();
  command->add_option("--port", options->settings.port, "port that clients are told")->capture_default_str();
  command->callback([options, &status] { status = init(*options); });
}

void add_serve(CLI::App& app, Status& status) {
  auto options = std::make_shared<ServeOptions>();
  auto detach = std::make_shared<bool>(false);
  auto* command = app.add_subcommand("serve", "answer requests until SIGTERM");
  add_directory(command, options->directory);
  command->add_option("--listen", options->listen, "tcp://HOST:PORT or unix:///PATH; port 0 picks one");
  command->add_option(
      "--development-root", options->development_roots,
      "PEM file of a root whose attestation documents are believed beside AWS's; may be repeated");
  command->add_option("--ready-fd", options->ready_fd,
                      "descriptor that gets the line 'listening on …' and is closed");
  command->add_option("--pid-file", options->pid_file, "file that holds the process id while serving");
  command->add_flag("--http", options->plain_http, "no TLS; loopback only, for debugging");
  command->add_flag("--detach", *detach, "serve in the background; returns when ready");
  command->callback(
      [options, detach, &status] { status = (*detach ? serve_detached : serve)(*options).context("serve"); });
}

void add_stop(CLI::App& app, Status& status) {
  auto directory = std::make_shared<std::string>();
  auto* command = app.add_subcommand("stop", "end the process that serves a data directory");
  add_directory(command, *directory);
  command->callback(
      [directory, &status] { status = stop_holder(Installation::lock_path(*directory)).context("stop"); });
}

void add_principal_command(CLI::App& app, Status& status) {
  auto options = std::make_shared<PrincipalOptions>();
  auto* command = app.add_subcommand("principal", "add a user or role and write its credentials");
  add_directory(command, options->directory);
  auto* who = command->add_option_group("who");
  who->add_option("--user", options->user, "name of an IAM user");
  who->add_option("--role", options->role, "name of an IAM role");
  who->require_option(1);
  command->add_option("--iam-policy", options->policy_file,
                      "file of its identity policy; none: key policies alone decide");
  command->add_option("--trust-policy", options->trust_file,
                      "file that says who may assume the role; none: its account's identity policies decide");
  command->add_option("--account", options->account, "its account, 12 digits; none: the account of the keys");
  command->add_option("-o,--output", options->env_file, "file for its credentials, as shell lines")
      ->required();
  command->callback([options, &status] { status = principal(*options); });
}

void add_session_command(CLI::App& app, Status& status) {
  auto options = std::make_shared<SessionOptions>();
  auto* command = app.add_subcommand("session", "write temporary credentials of a role");
  add_directory(command, options->directory);
  command->add_option("--role", options->request.role, "name of the role")->required();
  command->add_option("--account", options->request.account,
                      "the role's account, 12 digits; none: the account of the keys");
  command->add_option("--name", options->request.name, "the session's name, as its ARN ends")
      ->capture_default_str();
  command->add_option("--duration", options->seconds, "seconds until it expires, 900 to 43200")
      ->capture_default_str();
  command->add_option("--session-policy", options->policy_file, "file of a policy that narrows the session");
  command->add_option("-o,--output", options->env_file, "file for its credentials, as shell lines")
      ->required();
  command->callback([options, &status] { status = session(*options); });
}

int report(const Status& status) {
  if (status) return 0;
  fmt::print(stderr, "cloister-kms: {}\n", escape_controls(status.error().message()));
  if (!status.error().hint().empty())
    fmt::print(stderr, "hint: {}\n", escape_controls(status.error().hint()));
  return 1;
}

}  // namespace

int run_commands(int argc, char** argv) {
  ::umask(kPrivateMask);
  CLI::App app("The embedded key service: the AWS KMS API for machines without AWS", "cloister-kms");
  app.set_version_flag("--version", CLOISTER_VERSION);
  app.require_subcommand(1);
  Status status;
  for (auto* add : {add_init, add_serve, add_stop, add_principal_command, add_session_command})
    add(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cloister-kms: {}\n", escape_controls(error.what()));
    return 1;
  }
  return report(status);
}

}  // namespace cloister::emulator
