#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "kms/json_object.h"
#include "kms/profile.h"
#include "kms/sources.h"
#include "kms/words.h"
#include "sys/process.h"

namespace cloister::kms {

namespace {

constexpr sys::milliseconds kProcessTime = sys::seconds(60);  // it may ask somebody for a code
constexpr unsigned kDocumentVersion = 1;
constexpr int kNotStarted = 127;

// Standard input and error stay the person's: it may ask for a code, and say why it fails.
int execute(const std::vector<std::string>& words, int out) {
  std::vector<char*> raw;
  raw.reserve(words.size() + 1);
  for (const auto& word : words) raw.push_back(const_cast<char*>(word.c_str()));
  raw.push_back(nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (::dup2(out, STDOUT_FILENO) < 0) return kNotStarted;
  if (!sys::close_descriptors_except(STDERR_FILENO + 1, {})) return kNotStarted;
  ::execvp(raw[0], raw.data());
  return kNotStarted;
}

// All of a stream, of which no copy stays behind.
Result<Secret> read_whole(sys::Stream& stream) {
  Secret all(kMaxSourceAnswer + 1);
  std::size_t used = 0;
  while (used < all.size()) {
    auto n = TRY(stream.read_some(all.mutable_view().subspan(used)));
    if (n == 0) return Secret(all.view().first(used));
    used += n;
  }
  return fail(ErrorKind::exhausted, "it printed more than {} bytes", kMaxSourceAnswer);
}

Result<Secret> output_of(const std::vector<std::string>& words) {
  auto deadline = sys::Deadline::after(kProcessTime);
  auto pipe = TRY(sys::make_pipe());
  auto child = TRY(sys::fork_child([&] { return execute(words, pipe.write.get()); }));
  pipe.write.reset();
  sys::FdStream out(std::move(pipe.read));
  out.set_deadline(deadline);
  auto text = TRY(read_whole(out));
  auto end = TRY(child.wait(deadline));
  if (end.signalled) return fail(ErrorKind::unavailable, "killed by signal {}", end.code);
  if (end.code != 0) return fail(ErrorKind::unavailable, "exit code {}", end.code);
  return text;
}

class ProcessSource final : public CredentialSource {
 public:
  ProcessSource(const Surroundings& surroundings, std::string profile)
      : files_(surroundings.environment), asked_(std::move(profile)) {}
  std::string name() const override { return "credential_process"; }

  Result<Credentials> load() override {
    std::string command;
    TRY(files_.visit(asked_.empty() ? files_.profile() : asked_, [&](auto key, auto value) {
      if (key == "credential_process" && command.empty()) command = value;
    }));
    if (command.empty()) return fail(ErrorKind::not_found, "the profile has none");
    auto words = TRY(split_words(command));
    if (words.empty()) return fail(ErrorKind::invalid, "an empty command");
    // The first word alone: arguments may hold what is nobody's business.
    auto program = escape_controls(words.front());
    auto text =
        TRY(output_of(words).context(program).with_hint("run it by hand: it must print JSON and end with 0"));
    return parse(as_text(text.view())).context(program);
  }

 private:
  static Result<Credentials> parse(std::string_view text) {
    auto object = TRY(ObjectReader::parse(text, ErrorKind::corrupt));
    auto version = TRY(object.number_or("Version", 0, 1'000'000, 0));
    if (version != kDocumentVersion) return fail(ErrorKind::corrupt, "Version is not {}", kDocumentVersion);
    return parse_document(text, {.token = "SessionToken", .expires = false});
  }
  SharedFiles files_;
  std::string asked_;
};

}  // namespace

std::unique_ptr<CredentialSource> from_process(const Surroundings& surroundings, std::string profile) {
  return std::make_unique<ProcessSource>(surroundings, std::move(profile));
}

}  // namespace cloister::kms
