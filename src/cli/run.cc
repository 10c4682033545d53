#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "base/log.h"
#include "cli/job_credentials.h"
#include "cli/verbs.h"
#include "host/job_client.h"
#include "host/known_signers.h"
#include "host/mounts.h"
#include "kms/words.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr int kExitCloisterFailed = 125;
constexpr int kExitInterrupted = 130;

struct Options {
  std::string name = host::kDefaultEnclave;
  std::string image;
  std::string file;
  std::string script;
  std::string arguments;
  std::vector<std::string> operands;
  std::vector<std::string> signers;
  std::string output;
  bool share_output = false;
  std::vector<std::string> allow_writes;
  std::string diagnostics;
  std::uint64_t grace = 0;
  CredentialWish credentials;
  bool verbose = false;
};

// -f NAME means a file in the shared folder's encrypted/; with a slash it is a path in the shared folder.
std::string package_path(const std::string& file) {
  return file.find('/') == std::string::npos ? "encrypted/" + file : file;
}

// -f -s -a, or FILE SCRIPT ARG… as operands; never half of one and half of the other.
Status take_operands(Options& options) {
  auto& operands = options.operands;
  if (operands.empty()) return {};
  if (!options.file.empty() || !options.script.empty() || !options.arguments.empty()) {
    return fail(ErrorKind::invalid, "give either -f, -s and -a, or FILE SCRIPT ARG…");
  }
  options.file = operands.front();
  if (operands.size() > 1) options.script = operands[1];
  operands.erase(operands.begin(), operands.begin() + std::min<std::ptrdiff_t>(2, std::ssize(operands)));
  return {};
}

Result<std::vector<crypto::Sha256>> pinned_signers(const Context& context, const Options& options) {
  std::vector<crypto::Sha256> out;
  auto known = TRY(host::KnownSigners::load(context.paths.known_signers()));
  out.reserve(options.signers.size());
  for (const auto& text : options.signers) out.push_back(TRY(known.resolve(text)));
  if (out.empty()) {
    for (const auto& signer : known.all()) out.push_back(signer.fingerprint);
  }
  if (out.empty()) {
    Error error(ErrorKind::denied, "unknown signer: you trust nobody's packages yet");
    return std::unexpected(std::move(error).with_hint(
        "compare what `cloister inspect` shows with the owner, then: cloister signer add NAME FINGERPRINT"));
  }
  return out;
}

// What the command line says; what it says wrong is a usage error.
Result<host::JobRequest> make_request(Options& options) {
  TRY(take_operands(options));
  TRY(options.credentials.check());
  if (options.file.empty() || options.script.empty()) {
    return fail(ErrorKind::invalid, "which package and which of its scripts? give -f FILE -s SCRIPT");
  }
  host::JobRequest request{.package = package_path(options.file),
                           .entry = options.script,
                           .output = options.output,
                           .share_output = options.share_output,
                           .allow_writes = options.allow_writes,
                           .diagnostics = !options.diagnostics.empty(),
                           .grace = options.grace};
  request.arguments =
      options.operands.empty() ? TRY(kms::split_words(options.arguments).context("-a")) : options.operands;
  return request;
}

// The application's bytes are passed on as they are to a pipe or a file; a terminal gets no control character
// but the usual ones.
void write_output(std::string_view bytes, bool terminal) {
  std::string safe;
  if (terminal) {
    for (std::string_view rest = bytes; !rest.empty();) {
      auto plain = std::min(rest.find_first_of("\n\t\r"), rest.size());
      safe += escape_controls(rest.substr(0, plain));
      if (plain < rest.size()) safe += rest[plain];
      rest.remove_prefix(std::min(plain + 1, rest.size()));
    }
    bytes = safe;
  }
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
  std::fflush(stdout);
}

// Waits for SIGINT or SIGTERM in a thread of its own and cancels the job over a session of its own; the
// follower then sees the job end.
class Canceller {
 public:
  Canceller(std::function<Result<host::Session>()> open, std::string id)
      : thread_([this, open = std::move(open), id = std::move(id)] {
          int number = 0;
          while (sigwait(&signals_, &number) == 0 && number != SIGUSR1) {
            interrupted_ = true;
            auto session = open();
            if (session) (void)host::cancel_job(*session, id).has_value();
          }
        }) {}
  ~Canceller() {
    ::pthread_kill(thread_.native_handle(), SIGUSR1);
    thread_.join();
  }
  bool interrupted() const { return interrupted_; }

  // To be called before any thread starts, so that all inherit the mask.
  static void block_signals() {
    auto set = signal_set();
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  }

 private:
  static sigset_t signal_set() {
    sigset_t set;
    sigemptyset(&set);
    for (int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&set, number);
    return set;
  }
  sigset_t signals_ = signal_set();
  std::atomic<bool> interrupted_ = false;
  std::thread thread_;
};

// Sealed: what is in it only the owner can tell.
void keep_bundle(const std::string& path, ByteView bundle) {
  if (path.empty()) return;  // nobody asked for it
  if (auto written = sys::write_file_atomic(path, bundle, 0600); !written)
    return print_error(written.error());
  fmt::print(stderr, "cloister: diagnostics for the application's owner are in {}\n", path);
}

Result<int> follow(const Context& context, const Options& options, host::Session& session,
                   const std::function<Result<host::Session>()>& open, const std::string& id) {
  std::string application;
  host::JobEvents events{
      .on_output = [&](std::string_view bytes) { write_output(bytes, context.terminal); },
      .on_state =
          [&](std::string_view state, std::string_view name) {
            application = name;
            if (options.verbose)
              fmt::print(stderr, "cloister: {} {}\n", escape_controls(state), escape_controls(name));
          },
      .on_dropped =
          [](std::uint64_t bytes) {
            fmt::print(stderr, "cloister: {} bytes of output came too fast and are lost\n", bytes);
          },
      .on_weaker =
          [&](std::string_view walls) {
            if (options.verbose) fmt::print(stderr, "cloister: weaker here: {}\n", escape_controls(walls));
          },
      .on_notice =
          [](std::string_view notice) {
            fmt::print(stderr, "cloister: in the enclave: {}\n", escape_controls(notice));
          },
      .on_diagnostics = [&](ByteView bundle) { keep_bundle(options.diagnostics, bundle); }};
  Canceller canceller(open, id);
  auto end = TRY(host::follow_job(session, id, events, [] { return true; }));
  if (canceller.interrupted()) {
    fmt::print(stderr, "cloister: cancelled\n");
    return kExitInterrupted;
  }
  if (end.error) {
    print_error(*end.error);
    return end.exit_code;
  }
  if (end.exit_code == 0) fmt::print(stderr, "cloister: {} ran successfully\n", escape_controls(application));
  if (end.exit_code != 0)
    fmt::print(stderr, "cloister: {} ended with exit code {}\n", escape_controls(application), end.exit_code);
  return end.exit_code;
}

Result<int> run(const Context& context, Options& options) {
  auto made = make_request(options);
  if (!made) {
    print_error(made.error());
    return kExitUsage;
  }
  auto request = *std::move(made);
  request.signers = TRY(pinned_signers(context, options));
  auto enclave = TRY(host::read_record(context.paths, options.name));
  auto credentials = TRY(job_credentials(context, options.credentials, enclave.name, request.package));
  request.endpoint = TRY(kms::find_endpoint_variant(context.environment));
  Canceller::block_signals();
  std::function<Result<host::Session>()> open = [&] { return context.open_session(enclave, options.image); };
  auto session = TRY(open());
  TRY(host::write_back_mounts(context.paths, enclave.name));
  auto id = TRY(host::post_job(session, request, credentials));
  return follow(context, options, session, open, id);
}

}  // namespace

void add_run(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("run", "Decrypt an application in the enclave and run it on the shared folder's data")
      .text("-f,--file", options->file,
            "the package: a name in the shared folder's encrypted/, or a path in the folder")
      .text("-s,--script", options->script, "the file of the package to start")
      .text("-a,--arguments", options->arguments, "its arguments in one text, quoted as for a shell")
      .operands("FILE", options->operands,
                "FILE -- SCRIPT ARG…: the same without flags; words after -- are taken as they are")
      .list("--signer", options->signers, "accept this signer only: a known name, or a fingerprint")
      .text("--output", options->output, "write to this directory below output/ instead of output/ itself")
      .flag("--share-output", options->share_output, "let other jobs write to the same output directory")
      .list("--allow-write", options->allow_writes,
            "let it write to this directory of the folder, as its manifest asks")
      .text("--diagnostics", options->diagnostics,
            "write what only the application's owner can read of a failure to this file")
      .number("--grace", options->grace,
              "seconds that the job goes on when this command or its connection is gone (default 60)")
      .text("--credentials", options->credentials.mode,
            "what the enclave gets: scoped (a session that may only decrypt with the package's key, or "
            "nothing) "
            "or as-is (default: scoped where it can be had)")
      .text("--sts-role", options->credentials.role, "the role whose session it gets (ARN)")
      .text("--image", options->image,
            "measurements (JSON) that the enclave must have (default: those noted at `up`)")
      .flag("-v,--verbose", options->verbose, "say what happens meanwhile")
      .text("--name", options->name, "the enclave's name")
      .example("cloister run -f ocr.cloister -s ml_inference.py -a \"-d /dataset/ -o /output/\"")
      .action([&context, options]() -> Result<int> {
        auto code = run(context, *options);
        if (code) return code;
        print_error(code.error());
        return kExitCloisterFailed;
      });
}

}  // namespace cloister::cli
