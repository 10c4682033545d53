#include "enclave/job.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "codec/base64.h"
#include "codec/cbor.h"
#include "package/diagnostics.h"
#include "sys/file.h"

namespace cloister::enclave {

namespace {

using nlohmann::json;

constexpr int kExitCloisterFailed = 125;
constexpr sys::milliseconds kFollowerCheck = sys::seconds(1);  // between two looks whether anybody follows
constexpr std::size_t kMaxUtf8Tail = 3;                        // bytes of an incomplete sequence

// How many bytes at the end of `bytes` begin a UTF-8 sequence that is not complete.
std::size_t incomplete_tail(ByteView bytes) {
  for (std::size_t back = 1; back <= std::min(kMaxUtf8Tail, bytes.size()); ++back) {
    auto byte = bytes[bytes.size() - back];
    if ((byte & 0xC0) == 0x80) continue;  // a continuation byte: its start is further back
    std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json error_json(const Error& error) {
  json out{{"kind", to_string(error.kind())}, {"message", error.message()}};
  if (!error.hint().empty()) out["hint"] = error.hint();
  return out;
}

void add_identity(json& out, const JobView& view) {
  if (!view.signer) return;
  out["name"] = view.name;
  out["release"] = view.release;
  out["signer"] = to_hex(*view.signer);
}

}  // namespace

std::string job_id_text(JobId id) {
  return fmt::format("{:016x}", id);
}

std::string to_json(const JobView& view) {
  json out{{"id", job_id_text(view.id)},
           {"package", view.package},
           {"entry", view.entry},
           {"state", to_string(view.state)}};
  add_identity(out, view);
  if (!view.weaker.empty()) out["weaker"] = view.weaker;
  if (!view.notice.empty()) out["notice"] = view.notice;
  if (view.exit_code) out["exit_code"] = *view.exit_code;
  if (view.error) out["error"] = error_json(*view.error);
  return dump(out);
}

std::string error_event(const Error& error, int exit_code) {
  auto body = error_json(error);
  body["exit_code"] = exit_code;
  return dump({{"event", "error"}, {"error", body}});
}

Job::Job(ClientId client, const JobOrder& order, const JobOptions& options, std::uint64_t sequence)
    : client_(client), options_(options), sequence_(sequence) {
  view_.id = order.id;
  view_.package = order.package.view();
  view_.entry = order.entry.view();
  view_.output = order.output.view();
}

Job::~Job() {
  events_.abandon();
  if (follower_.joinable()) follower_.join();
}

Status Job::follow(sys::MessageSocket launcher, sys::Fd output, std::function<void()> on_end) {
  launcher_ = std::move(launcher);
  output_ = std::move(output);
  try {
    follower_ = std::thread([this, on_end = std::move(on_end)] { run(on_end); });
  } catch (const std::system_error& error) {
    launcher_ = {};
    return fail(ErrorKind::exhausted, "no thread to follow the job: {}", error.what());
  }
  return {};
}

JobView Job::view() const {
  std::lock_guard lock(mutex_);
  return view_;
}

bool Job::ended() const {
  std::lock_guard lock(mutex_);
  return has_ended(view_.state);
}

Status Job::cancel() {
  std::lock_guard lock(mutex_);
  // Once: a launcher reads one command, and what it has sent last is lost if it closes over a second.
  if (!launcher_ || std::exchange(cancel_sent_, true)) return {};
  auto sent = launcher_.send(JobCommand{.kind = JobCommandKind::cancel});
  // A launcher that is gone has ended the job already.
  if (!sent && sent.error().kind() != ErrorKind::unavailable) return sent;
  return {};
}

// The job's thread: nothing that goes wrong with one job may end the enclave.
void Job::run(const std::function<void()>& on_end) {
  try {
    follow_to_the_end();
  } catch (const std::exception& error) {
    std::lock_guard lock(mutex_);
    view_.error = Error(ErrorKind::exhausted, fmt::format("the job's output: {}", error.what()));
  }
  // Ended jobs are remembered; their descriptors must not be. Closing the channel ends a launcher that still
  // runs.
  output_.reset();
  {
    std::lock_guard lock(mutex_);
    launcher_ = {};
  }
  finish(on_end);
}

// Output first, then the end: whatever the application wrote is told before its exit is. The pipe ends when
// the last process of the job has gone, and the launcher says how it ended after that.
void Job::follow_to_the_end() {
  bool output_open = true;
  bool launcher_open = true;
  while (output_open || launcher_open) {
    std::array<pollfd, 2> entries{{{output_open ? output_.get() : -1, POLLIN, 0},
                                   {launcher_open ? launcher_.descriptor() : -1, POLLIN, 0}}};
    int ready = ::poll(entries.data(), entries.size(), patience(launcher_open));
    if (ready < 0 && errno != EINTR) return;
    if (ready == 0 && !launcher_open) return;
    if (launcher_open) end_if_abandoned();
    if (ready <= 0) continue;
    if (entries[1].revents != 0) launcher_open = read_notice();
    if (entries[0].revents != 0) output_open = read_output();
  }
}

// Milliseconds for poll(2).
int Job::patience(bool launcher_open) const {
  return static_cast<int>((launcher_open ? kFollowerCheck : kOutputGrace).count());
}

// Whoever ordered it has gone, and with them the one who would read what it says.
void Job::end_if_abandoned() {
  auto alone = events_.unfollowed();
  if (!alone || *alone <= options_.grace) return;
  {
    std::lock_guard lock(mutex_);
    if (cancel_sent_) return;
    cancel_reason_ = fmt::format("nobody followed the job for {} s", options_.grace.count());
  }
  (void)cancel().has_value();  // a launcher that is gone has ended the job
}

bool Job::read_output() {
  std::array<std::uint8_t, kMaxOutputPiece> buffer;
  ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) {
    if (!partial_.empty()) emit_text(std::exchange(partial_, {}));
    return false;
  }
  emit_output(ByteView(buffer).first(static_cast<std::size_t>(n)));
  return true;
}

void Job::emit_output(ByteView bytes) {
  Bytes piece = std::exchange(partial_, {});
  append(piece, bytes);
  auto tail = incomplete_tail(piece);
  partial_.assign(piece.end() - static_cast<std::ptrdiff_t>(tail), piece.end());
  piece.resize(piece.size() - tail);
  if (!piece.empty()) emit_text(piece);
}

void Job::emit_text(ByteView text) {
  json event{{"event", "stdout"}};
  if (codec::is_utf8(text)) {
    event["text"] = as_text(text);
  } else {
    event["base64"] = codec::to_base64(text);
  }
  events_.append(dump(event));
}

bool Job::read_notice() {
  JobNotice notice;
  auto files = launcher_.receive(notice, 1);
  if (!files) return false;
  if (!files->empty()) take_diagnostics(files->front());
  note(notice);
  return true;
}

// It is told just before the end, after the output.
void Job::take_diagnostics(const sys::Fd& file) {
  auto bundle = sys::read_all(file.get(), package::kMaxDiagnosticBundle, "diagnostics");
  if (bundle) diagnostics_ = *std::move(bundle);
}

void Job::note(const JobNotice& notice) {
  json event{{"event", "state"}, {"state", to_string(notice.state)}};
  {
    std::lock_guard lock(mutex_);
    // The final state shows in finish(), after the output and the invalidation.
    if (!has_ended(notice.state)) view_.state = notice.state;
    if (!notice.name.view().empty()) {
      view_.name = notice.name.view();
      view_.release = notice.release.view();
      view_.signer = notice.signer;
    }
    if (notice.state == JobState::running) view_.weaker = notice.weaker.view();
    if (notice.state == JobState::unpacking) view_.notice = notice.notice.view();
    if (notice.state == JobState::exited) view_.exit_code = notice.exit_code;
    if (notice.error.is_error()) {
      view_.error = notice.error.to_error();
      view_.exit_code = notice.exit_code;
    }
    if (notice.state == JobState::cancelled) view_.error = Error(ErrorKind::denied, cancel_reason_);
    add_identity(event, view_);
    if (!view_.weaker.empty()) event["weaker"] = view_.weaker;
    if (!notice.notice.view().empty()) event["notice"] = view_.notice;
  }
  if (!has_ended(notice.state)) events_.append(dump(event));
}

void Job::finish(const std::function<void()>& on_end) {
  on_end();
  std::string last;
  {
    std::lock_guard lock(mutex_);
    if (!view_.exit_code && !view_.error) view_.error = Error(ErrorKind::internal, "the launcher died");
    bool cancelled = view_.error && !view_.exit_code && view_.error->message() == cancel_reason_;
    view_.state = cancelled ? JobState::cancelled : view_.error ? JobState::failed : JobState::exited;
    last = view_.error ? error_event(*view_.error, view_.exit_code.value_or(kExitCloisterFailed))
                       : dump({{"event", "exit"}, {"exit_code", *view_.exit_code}});
    if (view_.error) view_.exit_code.reset();
  }
  if (!diagnostics_.empty())
    events_.append(dump({{"event", "diagnostics"}, {"base64", codec::to_base64(diagnostics_)}}));
  events_.finish(std::move(last));
}

}  // namespace cloister::enclave
