#include "share/pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "fuse/init.h"
#include "fuse/limits.h"
#include "fuse/notification.h"
#include "fuse/wire.h"
#include "share/limits.h"
#include "share/pump_lane.h"

namespace cloister::share {

namespace {

// The notification lane: its writes may wait for pages whose READ a request lane is about to answer.
class Notifications {
 public:
  Notifications(int device, sys::Stream& stream, bool expire_only, PumpRun& run)
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
  PumpRun& run_;
};

// Waits for the kernel's first request and answers it.
Result<bool> initialise(int device, const PumpOptions& options) {
  Bytes request(fuse::kMaxMessage);
  for (;;) {
    TRY(sys::wait_for(device, POLLIN, sys::Deadline::after(kHelloTimeout), "the kernel's FUSE_INIT"));
    ssize_t n = ::read(device, request.data(), request.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return fail_errno("read /dev/fuse");
    auto answer = TRY(fuse::answer_init(ByteView(request).first(static_cast<std::size_t>(n)),
                                        {.max_write = options.max_write, .exclusive = options.exclusive}));
    if (::write(device, answer.reply.data(), answer.reply.size()) < 0) return fail_errno("answer FUSE_INIT");
    // Kept entries would keep attributes that the writeback cache believes rather than ours.
    return answer.expire_only && !options.exclusive;
  }
}

// Wakes whoever waits for the stream; its thread sees an end.
void cut(sys::Stream& stream) {
  ::shutdown(stream.descriptor(), SHUT_RDWR);
}

Status pump_lanes(int device, Lanes& lanes, const PumpOptions& options, bool expire_only) {
  PumpRun run(TRY(PumpRun::make_signal()));
  std::vector<std::unique_ptr<PumpLane>> workers;
  workers.reserve(lanes.requests.size());
  for (auto& stream : lanes.requests) workers.push_back(TRY(PumpLane::create(device, *stream, options, run)));
  std::vector<std::thread> threads;
  threads.reserve(workers.size());
  for (auto& worker : workers) threads.emplace_back([&worker] { worker->run(); });
  std::thread notifying;
  if (lanes.notifications != nullptr) {
    notifying = std::thread([&] { Notifications(device, *lanes.notifications, expire_only, run).run(); });
  }

  run.wait_until_over();
  auto outcome = run.outcome();
  for (auto& stream : lanes.requests) cut(*stream);
  if (lanes.notifications != nullptr) cut(*lanes.notifications);
  // An invalidation on its way into the kernel may wait for a page: the lanes go on, answering EIO, until it
  // is through.
  run.fail_with(Error(ErrorKind::unavailable, "the shared folder is closed"));
  if (notifying.joinable()) notifying.join();
  run.grants().stop();
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
