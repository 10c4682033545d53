#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/verbs.h"
#include "host/host_prepare.h"
#include "host/nitro_backend.h"
#include "image/eif.h"

namespace cloister::cli {

namespace {

using nlohmann::json;

struct Options {
  host::HostWish wish;
  std::string image;
  std::string root;
  bool yes = false;
  bool json = false;
};

host::Machinery machinery_of(const Context& context, const Options& options) {
  auto variables =
      host::tool_environment(context.environment, {"NITRO_CLI_SOCKETS_PATH", "NITRO_CLI_LOGS_PATH"});
  return {.root = options.root, .run = host::system_tools(context.environment, std::move(variables))};
}

// Who typed sudo is who will start enclaves.
std::string user_of(const Context& context, const Options& options) {
  return options.wish.user.empty() ? context.environment("SUDO_USER").value_or("") : options.wish.user;
}

Status add_image_wishes(Options& options, unsigned threads_per_core) {
  if (options.image.empty()) return {};
  auto image = TRY(image::Eif::open(options.image));
  host::ImageFacts facts{.path = options.image,
                         .bytes = image.file_size(),
                         .default_memory = image.default_memory(),
                         .default_cpus = image.default_cpus()};
  auto wanted = TRY(host::plan_nitro_run({}, facts, threads_per_core));
  if (options.wish.memory_mib == 0) options.wish.memory_mib = wanted.memory_mib;
  if (options.wish.cpus == 0) options.wish.cpus = wanted.cpus;
  return {};
}

std::string shown(const host::HostStep& step) {
  if (step.command.empty()) return step.what;
  return fmt::format("{}  ({})", fmt::join(step.command, " "), step.what);
}

json to_json(const host::HostPlan& plan, bool done) {
  json out{{"memory_mib", plan.memory_mib},
           {"cpus", plan.cpus},
           {"steps", json::array()},
           {"notes", plan.notes},
           {"done", done}};
  for (const auto& step : plan.steps) {
    json one{{"what", step.what}};
    if (!step.command.empty()) one["command"] = step.command;
    if (!step.file.empty()) one["file"] = step.file;
    out["steps"].push_back(std::move(one));
  }
  return out;
}

bool says_yes() {
  fmt::print(stderr, "cloister: do it? [y/N] ");
  std::array<char, 16> answer{};
  return std::fgets(answer.data(), answer.size(), stdin) != nullptr && (answer[0] == 'y' || answer[0] == 'Y');
}

Status consent(const Options& options) {
  if (options.yes) return {};
  bool person = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1;
  if (person && says_yes()) return {};
  Error error(ErrorKind::denied, "left as it is");
  return std::unexpected(person ? std::move(error)
                                : std::move(error).with_hint("--yes does it without asking"));
}

void print(const host::HostPlan& plan) {
  unsigned number = 0;
  for (const auto& step : plan.steps) fmt::print("{}. {}\n", ++number, escape_controls(shown(step)));
  for (const auto& note : plan.notes) fmt::print("note: {}\n", note);
}

Status carry_out(const host::Machinery& machinery, const host::HostPlan& plan, const Options& options) {
  if (plan.steps.empty()) return {};
  TRY(consent(options));
  if (::geteuid() != 0)
    return std::unexpected(Error(ErrorKind::denied, "only root may change what is set aside for enclaves")
                               .with_hint("sudo cloister host prepare …"));
  return host::prepare_host(machinery, plan);
}

Result<int> prepare(const Context& context, Options options) {
  auto machinery = machinery_of(context, options);
  options.wish.user = user_of(context, options);
  auto facts = host::gather_host_facts(machinery, context.environment, options.wish.user);
  TRY(add_image_wishes(options, facts.nitro.threads_per_core));
  auto plan = TRY(host::plan_host(facts, options.wish));
  if (!options.json) print(plan);
  auto done = carry_out(machinery, plan, options);
  if (options.json)
    fmt::print("{}\n", to_json(plan, done.has_value()).dump(2, ' ', false, json::error_handler_t::replace));
  TRY(std::move(done));
  fmt::print(stderr, "cloister: {}{} MiB and {} processors are set aside for enclaves\n",
             plan.steps.empty() ? "nothing to change: " : "", plan.memory_mib, plan.cpus);
  return 0;
}

// --- show ----------------------------------------------------------------------------------------------

json to_json(const host::HostFacts& facts) {
  const auto& nitro = facts.nitro;
  json nodes = json::array();
  for (const auto& node : nitro.nodes)
    nodes.push_back({{"node", node.index},
                     {"memory_mib", node.memory_mib},
                     {"free_mib", node.free_mib},
                     {"set_aside_mib", node.hugepage_mib()},
                     {"set_aside_free_mib", node.free_hugepage_mib()}});
  return {{"ec2", nitro.amazon_ec2},
          {"device", nitro.device},
          {"driver", nitro.module_loaded},
          {"nitro_cli", facts.nitro_cli},
          {"allocator_active", facts.unit_active},
          {"allocator_at_boot", facts.unit_enabled},
          {"threads_per_core", nitro.threads_per_core},
          {"cpus", nitro.cpus},
          {"cpu_pool", nitro.cpu_pool},
          {"nodes", nodes},
          {"enclaves", facts.running_enclaves}};
}

void line(std::string_view what, std::string_view text) {
  fmt::print("{:<10} {}\n", what, text);
}

void print(const host::HostFacts& facts) {
  const auto& nitro = facts.nitro;
  line("machine", nitro.amazon_ec2 ? "an EC2 instance" : "no EC2 instance");
  line("driver", nitro.device          ? "/dev/nitro_enclaves"
                 : nitro.module_loaded ? "loaded, without a device"
                                       : "not loaded");
  line("nitro-cli", facts.nitro_cli ? "on the PATH" : "not on the PATH");
  line("allocator", fmt::format("{}, {}",
                                facts.unit_active   ? "has run"
                                : facts.unit_exists ? "has not run, or failed"
                                                    : "not there",
                                facts.unit_enabled ? "at every boot" : "not at boot"));
  line("processors", fmt::format("{}, {} of them for enclaves; {} a core", nitro.cpus.size(),
                                 nitro.cpu_pool.size(), nitro.threads_per_core));
  for (const auto& node : nitro.nodes)
    line("memory", fmt::format("node {}: {} MiB, {} of them for enclaves, of which {} are free", node.index,
                               node.memory_mib, node.hugepage_mib(), node.free_hugepage_mib()));
  line("enclaves", std::to_string(facts.running_enclaves));
}

Result<int> show(const Context& context, const Options& options) {
  auto facts = host::gather_host_facts(machinery_of(context, options), context.environment, "");
  if (options.json)
    fmt::print("{}\n", to_json(facts).dump(2));
  else
    print(facts);
  return 0;
}

}  // namespace

void add_host(CommandLine& line, const Context& context) {
  auto host = line.verb("host", "This machine as one that runs Nitro enclaves");
  host.example("cloister host prepare --memory 3072 --cpus 2 --user ec2-user");
  auto options = std::make_shared<Options>();
  line.verb(host, "prepare",
            "Set memory and processors aside for enclaves, and let a user start them; shows what it will "
            "change")
      .number("--memory", options->wish.memory_mib,
              "MiB for all enclaves together (default: --image's, else as it is)")
      .number("--cpus", options->wish.cpus,
              "processors for all enclaves together (default: --image's, else as it is)")
      .text("--image", options->image, "as much as this image asks for")
      .text("--user", options->wish.user, "who will start enclaves (default: who typed sudo)")
      .text("--root", options->root, "look at the files below this directory, and change them there")
      .flag("--yes", options->yes, "do not ask")
      .flag("--json", options->json, "print the plan as JSON")
      .example("cloister host prepare --memory 3072 --cpus 2 --user ec2-user")
      .example("cloister host prepare --image enclave.eif --yes")
      .action([&context, options] { return prepare(context, *options); });
  auto shown = std::make_shared<Options>();
  line.verb(host, "show", "Show what this machine has for enclaves, and what is free of it")
      .text("--root", shown->root, "look at the files below this directory")
      .flag("--json", shown->json, "print it as JSON")
      .example("cloister host show")
      .action([&context, shown] { return show(context, *shown); });
}

}  // namespace cloister::cli
