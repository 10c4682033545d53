#include "share/pump_lane.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "fuse/limits.h"
#include "fuse/protocol.h"
#include "fuse/reply_check.h"
#include "fuse/request.h"
#include "fuse/wire.h"

namespace cloister::share {

namespace {

// How long to pause before a lock is asked for again: soon at first, for locks are short; never so long that
// an interrupted program seems to hang.
constexpr std::chrono::milliseconds kShortestPause{1};
constexpr std::chrono::milliseconds kLongestPause{32};

// A BSD lock ends with a file's RELEASE, which the kernel sends when it comes to it: who closes a file and
// locks it again must not meet himself. So long a lock is asked for again even where the caller does not
// wait.
constexpr std::chrono::milliseconds kReleaseTime{20};

// A descriptor of its own for a lane: the kernel then keeps its requests apart. Old kernels share the first
// one.
sys::Fd clone_device(int device) {
  sys::Fd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  auto source = static_cast<std::uint32_t>(device);
  if (!fd || ::ioctl(fd.get(), FUSE_DEV_IOC_CLONE, &source) != 0) return {};
  return fd;
}

int error_of(ByteView reply) {
  return -fuse::load<fuse_out_header>(reply).error;
}

bool is_flock(ByteView request) {
  constexpr auto kAt = sizeof(fuse_in_header);
  return fuse::load<fuse_in_header>(request).opcode == FUSE_SETLK &&
         request.size() >= kAt + sizeof(fuse_lk_in) &&
         (fuse::load<fuse_lk_in>(request, kAt).lk_flags & FUSE_LK_FLOCK) != 0;
}

bool is_lock(std::uint32_t opcode) {
  return opcode == FUSE_GETLK || opcode == FUSE_SETLK;
}

}  // namespace

Result<std::unique_ptr<PumpLane>> PumpLane::create(int device, sys::Stream& stream,
                                                   const PumpOptions& options, PumpRun& run) {
  std::unique_ptr<PumpLane> lane(new PumpLane(device, stream, options, run));
  lane->clone_ = clone_device(device);
  if (lane->clone_) lane->device_ = lane->clone_.get();
  lane->epoll_ = sys::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!lane->epoll_) return fail_errno("epoll_create");
  // Exclusive: one request wakes one lane. The stream is watched for its end only.
  TRY(lane->watch(lane->device_, EPOLLIN | EPOLLEXCLUSIVE));
  TRY(lane->watch(run.signal(), EPOLLIN));
  TRY(lane->watch(stream.descriptor(), EPOLLRDHUP));
  return lane;
}

PumpLane::PumpLane(int device, sys::Stream& stream, const PumpOptions& options, PumpRun& run)
    : device_(device),
      stream_(stream),
      options_(options),
      presentation_{options.ownership == Ownership::keep, options.uid, options.gid},
      run_(run),
      reader_(stream, sizeof(fuse_out_header), fuse::kMaxMessage),
      request_(fuse::kMaxMessage) {}

Status PumpLane::watch(int fd, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

void PumpLane::run() {
  try {
    while (!run_.stopping() && step()) {
    }
  } catch (const std::exception& error) {
    run_.fail_with(Error(ErrorKind::exhausted, error.what()));
  }
  // Whoever waits for a lock is told here, not left to the closing of the device: somebody may hold a copy of
  // it.
  for (const auto& waiting : waiting_) answer_error(waiting.outstanding.unique, EIO);
}

// False when there is nothing more to do.
bool PumpLane::step() {
  ask_again();
  ssize_t n = ::read(device_, request_.data(), request_.size());
  if (n >= static_cast<ssize_t>(sizeof(fuse_in_header))) {
    handle(MutableByteView(request_).first(static_cast<std::size_t>(n)));
    return true;
  }
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return wait();
  if (n < 0 && (errno == EINTR || errno == ENOENT)) return true;  // ENOENT: its caller gave up meanwhile
  if (n < 0 && errno != ENODEV && errno != ECONNABORTED) run_.fail_with(fail_errno("read /dev/fuse").error());
  run_.unmounted();
  return false;
}

bool PumpLane::wait() {
  epoll_event event{};
  int ready = ::epoll_wait(epoll_.get(), &event, 1, patience());
  if (ready == 1 && event.data.fd == stream_.descriptor()) {
    // Once it is known there is no need to hear it again.
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, stream_.descriptor(), nullptr);
    run_.fail_with(Error(ErrorKind::unavailable, "the enclave closed the shared folder"));
  }
  return true;
}

// Milliseconds until a lock is to be asked for again; -1: none is.
int PumpLane::patience() const {
  if (waiting_.empty()) return -1;
  auto next = std::min_element(waiting_.begin(), waiting_.end(), [](const auto& a, const auto& b) {
                return a.next < b.next;
              })->next;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

void PumpLane::handle(MutableByteView request) {
  auto header = fuse::load<fuse_in_header>(request);
  if (header.opcode == FUSE_INTERRUPT && !options_.exclusive) {
    if (request.size() >= sizeof header + sizeof(fuse_interrupt_in))
      run_.locks().interrupt(fuse::load<fuse_interrupt_in>(request, sizeof header).unique);
    return;  // the interrupted request is what gets an answer
  }
  if (int answer = answer_of_our_own(request, header); answer >= 0)
    return answer_error(header.unique, answer);
  if (run_.broken()) {
    if (fuse::has_reply(header.opcode)) answer_error(header.unique, EIO);
    return;
  }
  prepare(request);
  if (header.opcode == FUSE_SETLKW) return wait_for_lock(request, Clock::time_point::max());
  if (is_flock(request)) return wait_for_lock(request, Clock::now() + kReleaseTime);
  exchange(fuse::outstanding_of(request), request);
}

void PumpLane::wait_for_lock(MutableByteView request, Clock::time_point until) {
  auto header = fuse::load<fuse_in_header>(request);
  if (!run_.locks().begin_wait(header.unique)) return answer_error(header.unique, ENOLCK);
  header.opcode = FUSE_SETLK;
  fuse::store(request, header);
  exchange_waiting({.request = to_bytes(request),
                    .outstanding = fuse::outstanding_of(request),
                    .next = {},
                    .pause = kShortestPause,
                    .until = until});
}

// The errno value of an answer that needs no enclave, 0 for success; -1: it needs one.
int PumpLane::answer_of_our_own(ByteView request, const fuse_in_header& header) {
  // Nothing waits but for memory and for locks, and those this kernel then keeps itself.
  if (header.opcode == FUSE_INTERRUPT) return ENOSYS;
  if (header.opcode == FUSE_FLUSH && options_.exclusive) return ENOSYS;
  // A close ends locks, and there is nothing else to it: what was written is in the enclave already.
  if (header.opcode == FUSE_FLUSH && !run_.locks().may_be_locked(header.nodeid)) return 0;
  if (int error = fuse::answered_here(request); error != 0) return error;
  return -1;
}

void PumpLane::prepare(MutableByteView request) {
  fuse::prepare_request(request, presentation_);
  if (options_.exclusive) fuse::widen_open(request);
  auto opcode = fuse::load<fuse_in_header>(request).opcode;
  constexpr auto kAt = sizeof(fuse_in_header);
  if ((!is_lock(opcode) && opcode != FUSE_SETLKW) || request.size() < kAt + sizeof(fuse_lk_in)) return;
  auto in = fuse::load<fuse_lk_in>(request, kAt);
  in.lk.pid = run_.locks().token_of(static_cast<pid_t>(in.lk.pid));
  fuse::store(request, in, kAt);
}

// The reply, judged; empty where the request has none. An error: the enclave is of no more use.
Result<MutableByteView> PumpLane::ask(const fuse::Outstanding& outstanding, ByteView request) {
  stream_.set_deadline(sys::Deadline::after(options_.reply_timeout));
  TRY(stream_.write_all(request).context("send to the enclave"));
  if (!fuse::has_reply(outstanding.opcode)) return MutableByteView();
  auto reply = TRY(reader_.next().context("receive from the enclave"));
  if (!reply) return fail(ErrorKind::unavailable, "the enclave closed the shared folder");
  TRY(fuse::check_reply(outstanding, *reply, presentation_).context("the enclave's reply"));
  return *reply;
}

void PumpLane::exchange(const fuse::Outstanding& outstanding, ByteView request) {
  auto reply = ask(outstanding, request);
  if (!reply) {
    run_.fail_with(std::move(reply).error());
    if (fuse::has_reply(outstanding.opcode)) answer_error(outstanding.unique, EIO);
    return;
  }
  if (!reply->empty()) finish(outstanding, request, *reply);
}

void PumpLane::finish(const fuse::Outstanding& outstanding, ByteView request, MutableByteView reply) {
  if (options_.traffic != nullptr) count(outstanding, reply);
  if (is_lock(outstanding.opcode) && error_of(reply) == 0) {
    if (outstanding.opcode == FUSE_SETLK) return grant(request, reply);
    auto out = fuse::load<fuse_lk_out>(reply, sizeof(fuse_out_header));
    out.lk.pid = run_.locks().pid_of(out.lk.pid);
    fuse::store(reply, out, sizeof(fuse_out_header));
  }
  if (auto written = write_reply(reply); !written) run_.fail_with(std::move(written).error());
}

void PumpLane::grant(ByteView request, ByteView reply) {
  // Before the kernel knows: the close may come at once, on another lane.
  auto lock = fuse::load<fuse_lk_in>(request, sizeof(fuse_in_header));
  if (lock.lk.type != F_UNLCK && !is_flock(request))
    run_.locks().note_locked(fuse::load<fuse_in_header>(request).nodeid);
  auto header = fuse::load<fuse_out_header>(reply);
  bool shared = fuse::load<fuse::LockGranted>(reply, sizeof header).shared == 1;
  header.len = sizeof header;
  auto done = fuse::bytes_of(header);
  if (shared)
    return run_.grants().deliver(device_, fuse::load<fuse_in_header>(request).nodeid, to_bytes(done));
  if (auto written = write_reply(done); !written) run_.fail_with(std::move(written).error());
}

void PumpLane::exchange_waiting(Waiting waiting) {
  auto unique = waiting.outstanding.unique;
  auto end = [&](int error) {
    run_.locks().end_wait(unique);
    answer_error(unique, error);
  };
  if (run_.broken()) return end(EIO);
  if (run_.locks().interrupted(unique)) return end(EINTR);
  auto reply = ask(waiting.outstanding, waiting.request);
  if (!reply) {
    run_.fail_with(std::move(reply).error());
    return end(EIO);
  }
  if (error_of(*reply) != EAGAIN || Clock::now() >= waiting.until) {
    run_.locks().end_wait(unique);
    return finish(waiting.outstanding, waiting.request, *reply);
  }
  waiting.next = Clock::now() + waiting.pause;
  waiting.pause = std::min(waiting.pause * 2, kLongestPause);
  waiting_.push_back(std::move(waiting));
}

void PumpLane::ask_again() {
  if (waiting_.empty()) return;
  auto now = Clock::now();
  auto due = std::partition(waiting_.begin(), waiting_.end(),
                            [&](const Waiting& each) { return each.next > now && !run_.broken(); });
  std::vector<Waiting> again(std::make_move_iterator(due), std::make_move_iterator(waiting_.end()));
  waiting_.erase(due, waiting_.end());
  for (auto& each : again) exchange_waiting(std::move(each));
}

void PumpLane::count(const fuse::Outstanding& outstanding, ByteView reply) {
  auto& traffic = *options_.traffic;
  ++traffic.requests;
  if (error_of(reply) != 0) return;
  if (outstanding.opcode == FUSE_READ) traffic.bytes_read += reply.size() - sizeof(fuse_out_header);
  if (outstanding.opcode == FUSE_WRITE) traffic.bytes_written += outstanding.asked;
}

Status PumpLane::write_reply(ByteView reply) const {
  if (::write(device_, reply.data(), reply.size()) >= 0) return {};
  // ENOENT: the request was aborted. ENODEV: unmounted, which the next read tells too.
  if (errno == ENOENT || errno == ENODEV || errno == ECONNABORTED) return {};
  return fail_errno("write /dev/fuse");
}

void PumpLane::answer_error(std::uint64_t unique, int error) const {
  fuse_out_header header{.len = sizeof header, .error = -error, .unique = unique};
  static_cast<void>(write_reply(fuse::bytes_of(header)).has_value());
}

}  // namespace cloister::share
