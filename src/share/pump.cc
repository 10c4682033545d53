#include "share/pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "fuse/init.h"
#include "fuse/limits.h"
#include "fuse/notification.h"
#include "fuse/reply_check.h"
#include "fuse/request.h"
#include "fuse/wire.h"
#include "share/limits.h"
#include "share/notify.h"

namespace cloister::share {

namespace {

// What the threads of one pump share: whether to go on, and why not.
class Run {
 public:
  static Result<sys::Fd> make_signal() {
    sys::Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) return fail_errno("eventfd");
    return fd;
  }
  explicit Run(sys::Fd signal) : signal_(std::move(signal)) {}

  // The enclave or its lane is gone: from now on every request is answered with EIO. The first reason stays.
  void fail_with(Error error) {
    std::lock_guard lock(mutex_);
    if (!error_ && !unmounted_) error_ = std::move(error);
    broken_ = true;
    changed_.notify_all();
  }
  void unmounted() {
    std::lock_guard lock(mutex_);
    unmounted_ = true;
    changed_.notify_all();
  }
  void wait_until_over() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return broken_ || unmounted_; });
  }
  // Wakes every lane and ends it.
  void stop() {
    stopping_ = true;
    std::uint64_t one = 1;
    static_cast<void>(!::write(signal_.get(), &one, sizeof one));
  }

  bool broken() const { return broken_; }
  bool stopping() const { return stopping_; }
  int signal() const { return signal_.get(); }
  Status outcome() const {
    std::lock_guard lock(mutex_);
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  sys::Fd signal_;  // readable once stopping
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Error> error_;
  std::atomic<bool> broken_{false};
  bool unmounted_ = false;
  std::atomic<bool> stopping_{false};
};

// A descriptor of its own for a lane: the kernel then keeps its requests apart. Old kernels share the first
// one.
sys::Fd clone_device(int device) {
  sys::Fd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  auto source = static_cast<std::uint32_t>(device);
  if (!fd || ::ioctl(fd.get(), FUSE_DEV_IOC_CLONE, &source) != 0) return {};
  return fd;
}

// One lane: a loop of read a request, send it, receive the reply, write it.
class Lane {
 public:
  static Result<std::unique_ptr<Lane>> create(int device, sys::Stream& stream, const PumpOptions& options,
                                              Run& run) {
    std::unique_ptr<Lane> lane(new Lane(device, stream, options, run));
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

  void run() {
    try {
      while (!run_.stopping() && step()) {
      }
    } catch (const std::exception& error) {
      run_.fail_with(Error(ErrorKind::exhausted, error.what()));
    }
  }

 private:
  Lane(int device, sys::Stream& stream, const PumpOptions& options, Run& run)
      : device_(device),
        stream_(stream),
        options_(options),
        presentation_{options.ownership == Ownership::keep, options.uid, options.gid},
        run_(run),
        reader_(stream, sizeof(fuse_out_header), fuse::kMaxMessage),
        request_(fuse::kMaxMessage) {}

  Status watch(int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
    return {};
  }

  // False when there is nothing more to do.
  bool step() {
    ssize_t n = ::read(device_, request_.data(), request_.size());
    if (n >= static_cast<ssize_t>(sizeof(fuse_in_header))) {
      handle(MutableByteView(request_).first(static_cast<std::size_t>(n)));
      return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return wait();
    if (n < 0 && (errno == EINTR || errno == ENOENT)) return true;  // ENOENT: its caller gave up meanwhile
    if (n < 0 && errno != ENODEV && errno != ECONNABORTED)
      run_.fail_with(fail_errno("read /dev/fuse").error());
    run_.unmounted();
    return false;
  }

  bool wait() {
    epoll_event event{};
    int ready = ::epoll_wait(epoll_.get(), &event, 1, -1);
    if (ready == 1 && event.data.fd == stream_.descriptor()) {
      // Once it is known there is no need to hear it again.
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, stream_.descriptor(), nullptr);
      run_.fail_with(Error(ErrorKind::unavailable, "the enclave closed the shared folder"));
    }
    return true;
  }

  void handle(MutableByteView request) {
    auto outstanding = fuse::outstanding_of(request);
    if (int error = fuse::answered_here(request); error != 0) return answer_error(outstanding.unique, error);
    if (!run_.broken()) {
      auto exchanged = exchange(outstanding, request);
      if (exchanged) return;
      run_.fail_with(std::move(exchanged).error());
    }
    if (fuse::has_reply(outstanding.opcode)) answer_error(outstanding.unique, EIO);
  }

  Status exchange(const fuse::Outstanding& outstanding, MutableByteView request) {
    fuse::prepare_request(request, presentation_);
    stream_.set_deadline(sys::Deadline::after(options_.reply_timeout));
    TRY(stream_.write_all(request).context("send to the enclave"));
    if (!fuse::has_reply(outstanding.opcode)) return {};
    auto reply = TRY(reader_.next().context("receive from the enclave"));
    if (!reply) return fail(ErrorKind::unavailable, "the enclave closed the shared folder");
    TRY(fuse::check_reply(outstanding, *reply, presentation_).context("the enclave's reply"));
    if (options_.traffic != nullptr) count(*options_.traffic, outstanding, *reply);
    return write_reply(*reply);
  }

  static void count(Traffic& traffic, const fuse::Outstanding& outstanding, ByteView reply) {
    ++traffic.requests;
    if (fuse::load<fuse_out_header>(reply).error != 0) return;
    if (outstanding.opcode == FUSE_READ) traffic.bytes_read += reply.size() - sizeof(fuse_out_header);
    if (outstanding.opcode == FUSE_WRITE) traffic.bytes_written += outstanding.asked;
  }

  Status write_reply(ByteView reply) const {
    if (::write(device_, reply.data(), reply.size()) >= 0) return {};
    // ENOENT: the request was aborted. ENODEV: unmounted, which the next read tells too.
    if (errno == ENOENT || errno == ENODEV || errno == ECONNABORTED) return {};
    return fail_errno("write /dev/fuse");
  }

  void answer_error(std::uint64_t unique, int error) const {
    fuse_out_header header{.len = sizeof header, .error = -error, .unique = unique};
    static_cast<void>(write_reply(fuse::bytes_of(header)).has_value());
  }

  int device_;
  sys::Fd clone_;
  sys::Fd epoll_;
  sys::Stream& stream_;
  const PumpOptions& options_;
  fuse::Presentation presentation_;
  Run& run_;
  fuse::MessageReader reader_;
  Bytes request_;
};

// The notification lane: its writes may wait for pages whose READ a request lane is about to answer.
class Notifications {
 public:
  Notifications(int device, sys::Stream& stream, bool expire_only, Run& run)
      : device_(device), stream_(stream), expire_only_(expire_only), run_(run) {}

  void run() {
    try {
      auto done = loop();
      if (!done) run_.fail_with(std::move(done).error());
    } catch (const std::exception& error) {
      run_.fail_with(Error(ErrorKind::exhausted, error.what()));
    }
  }

 private:
  Status loop() {
    fuse::MessageReader reader(stream_, sizeof(fuse_out_header), fuse::kMaxNotification);
    for (;;) {
      auto message = TRY(reader.next().context("the enclave's notifications"));
      if (!message) return fail(ErrorKind::unavailable, "the enclave closed the shared folder");
      auto kind = TRY(fuse::check_notification(*message).context("the enclave's notification"));
      if (kind == fuse::NotificationKind::fence) {
        stream_.set_deadline(sys::Deadline::after(kReplyTimeout));
        TRY(stream_.write_all(*message).context("confirm the enclave's notifications"));
        stream_.set_deadline({});
        continue;
      }
      if (kind == fuse::NotificationKind::drop_entry) set_entry_flags(*message, 0);
      if (kind == fuse::NotificationKind::inval_entry && expire_only_)
        set_entry_flags(*message, FUSE_EXPIRE_ONLY);
      // ENOENT: the kernel does not know the node or name any more. Nothing else is worth ending the mount
      // for.
      static_cast<void>(!::write(device_, message->data(), message->size()));
    }
  }

  // FUSE_EXPIRE_ONLY: an entry that must be looked up again, rather than one that is gone: what is mounted or
  // in use below stays.
  static void set_entry_flags(MutableByteView message, std::uint32_t flags) {
    auto body = message.subspan(sizeof(fuse_out_header));
    auto head = fuse::load<fuse_notify_inval_entry_out>(body);
    head.flags = flags;
    fuse::store(body, head);
  }

  int device_;
  sys::Stream& stream_;
  bool expire_only_;
  Run& run_;
};

// Waits for the kernel's first request and answers it.
Result<bool> initialise(int device, const PumpOptions& options) {
  Bytes request(fuse::kMaxMessage);
  for (;;) {
    TRY(sys::wait_for(device, POLLIN, sys::Deadline::after(kHelloTimeout), "the kernel's FUSE_INIT"));
    ssize_t n = ::read(device, request.data(), request.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return fail_errno("read /dev/fuse");
    auto answer =
        TRY(fuse::answer_init(ByteView(request).first(static_cast<std::size_t>(n)), options.max_write));
    if (::write(device, answer.reply.data(), answer.reply.size()) < 0) return fail_errno("answer FUSE_INIT");
    return answer.expire_only;
  }
}

// Wakes whoever waits for the stream; its thread sees an end.
void cut(sys::Stream& stream) {
  ::shutdown(stream.descriptor(), SHUT_RDWR);
}

Status pump_lanes(int device, Lanes& lanes, const PumpOptions& options, bool expire_only) {
  Run run(TRY(Run::make_signal()));
  std::vector<std::unique_ptr<Lane>> workers;
  for (auto& stream : lanes.requests) workers.push_back(TRY(Lane::create(device, *stream, options, run)));
  std::vector<std::thread> threads;
  for (auto& worker : workers) threads.emplace_back([&worker] { worker->run(); });
  std::thread notifying;
  if (lanes.notifications != nullptr) {
    notifying = std::thread([&] { Notifications(device, *lanes.notifications, expire_only, run).run(); });
  }

  run.wait_until_over();
  auto outcome = run.outcome();
  for (auto& stream : lanes.requests) cut(*stream);
  if (lanes.notifications != nullptr) cut(*lanes.notifications);
  // A notification on its way into the kernel may wait for a page: the lanes go on, answering EIO, until it
  // is through.
  run.fail_with(Error(ErrorKind::unavailable, "the shared folder is closed"));
  if (notifying.joinable()) notifying.join();
  run.stop();
  for (auto& thread : threads) thread.join();
  return outcome;
}

}  // namespace

Status pump(Mount& mount, Lanes lanes, const PumpOptions& options) {
  if (lanes.requests.empty() || lanes.requests.size() > kMaxLanes) {
    return fail(ErrorKind::invalid, "{} request lanes (1 to {} allowed)", lanes.requests.size(), kMaxLanes);
  }
  if (options.max_write == 0 || options.max_write > fuse::kMaxWrite) {
    return fail(ErrorKind::invalid, "{} bytes per write (at most {})", options.max_write, fuse::kMaxWrite);
  }
  auto expire_only = initialise(mount.descriptor(), options);
  if (!expire_only) {
    mount.abort();
    return std::unexpected(std::move(expire_only).error());
  }
  auto outcome = pump_lanes(mount.descriptor(), lanes, options, *expire_only);
  mount.abort();
  return outcome;
}

}  // namespace cloister::share
