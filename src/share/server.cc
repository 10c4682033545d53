#include "share/server.h"

#include <atomic>

#include "fuse/limits.h"
#include "fuse/request.h"
#include "fuse/wire.h"
#include "share/filesystem.h"
#include "share/notify.h"
#include "share/reclaimer.h"

namespace cloister::share {

struct Server::Counters {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> errors{0};
  std::atomic<std::uint64_t> malformed{0};
  std::atomic<std::uint64_t> bytes_read{0};
  std::atomic<std::uint64_t> bytes_written{0};
  std::atomic<std::uint64_t> notifications{0};
};

Result<std::unique_ptr<Server>> Server::create(sys::Dir root, ServerOptions options) {
  auto fs = TRY(FileSystem::create(std::move(root), std::move(options)));
  return std::unique_ptr<Server>(new Server(std::move(fs)));
}

Server::Server(std::unique_ptr<FileSystem> fs)
    : fs_(std::move(fs)),
      notifier_(std::make_unique<Notifier>()),
      counters_(std::make_unique<Counters>()),
      reclaimer_(std::make_unique<Reclaimer>(*fs_, *notifier_)) {}

Server::~Server() = default;

Result<std::size_t> Server::answer(ByteView request, MutableByteView reply) {
  auto header = fuse::decode_header(request);
  if (!header) {
    ++counters_->malformed;
    return std::unexpected(std::move(header).error());
  }
  ++counters_->requests;
  ReplyBody body(reply.subspan(sizeof(fuse_out_header)));
  auto done = [&]() -> Outcome<void> {
    return fs_->run(*header, TRY(fuse::decode_body(*header, request)), body);
  }();
  if (!fuse::has_reply(header->opcode)) return 0;
  fuse_out_header out{.len = sizeof(fuse_out_header), .error = 0, .unique = header->unique};
  if (done) {
    out.len += static_cast<std::uint32_t>(body.size());
    if (header->opcode == FUSE_READ) counters_->bytes_read += body.size();
    if (header->opcode == FUSE_WRITE)
      counters_->bytes_written += request.size() - sizeof(fuse_in_header) - sizeof(fuse_write_in);
  } else {
    ++counters_->errors;
    out.error = -done.error().value;
  }
  fuse::store(reply, out);
  return out.len;
}

namespace {

struct LaneCount {
  explicit LaneCount(FileSystem& fs) : fs_(fs) { fs_.add_lane(); }
  ~LaneCount() { fs_.remove_lane(); }
  LaneCount(const LaneCount&) = delete;
  LaneCount& operator=(const LaneCount&) = delete;

 private:
  FileSystem& fs_;
};

}  // namespace

void Server::serve_lane(sys::Stream& lane) {
  LaneCount counted(*fs_);
  fuse::MessageReader reader(lane, sizeof(fuse_in_header), fuse::kMaxMessage);
  Bytes reply(fuse::kMaxMessage);
  for (;;) {
    auto request = reader.next();
    if (!request || !request->has_value()) return;
    auto size = answer(**request, reply);
    if (!size) return;
    if (*size == 0) continue;
    if (!lane.write_all(ByteView(reply).first(*size))) return;
    reclaimer_->pace();
  }
}

void Server::serve_lane(sys::Fd lane) {
  sys::FdStream stream(std::move(lane));
  serve_lane(stream);
}

void Server::set_notifier(sys::Fd lane) {
  notifier_->set(std::move(lane));
}

Status Server::invalidate_changed(sys::Deadline deadline, std::chrono::nanoseconds* compared) {
  using Clock = std::chrono::steady_clock;
  // Before anything counts as told that could not be: what waits to be sent stays that of one turn.
  TRY(notifier_->catch_up(deadline).context("tell the client what changed"));
  auto started = Clock::now();
  std::chrono::nanoseconds waited{0};
  auto told = fs_->changed([&](const std::vector<Bytes>& messages) {
    counters_->notifications += messages.size();
    auto handed_over = Clock::now();
    auto delivered = notifier_->deliver(messages, deadline);
    waited += Clock::now() - handed_over;
    return delivered;
  });
  if (compared != nullptr) *compared = Clock::now() - started - waited;
  return std::move(told).context("tell the client what changed");
}

void Server::know(const Company& company) {
  fs_->know(company);
}

void Server::forget_all() {
  fs_->forget_all();
}

ServerStats Server::stats() const {
  return {.requests = counters_->requests,
          .errors = counters_->errors,
          .malformed = counters_->malformed,
          .bytes_read = counters_->bytes_read,
          .bytes_written = counters_->bytes_written,
          .inodes = fs_->inode_count(),
          .handles = fs_->handle_count(),
          .locks = fs_->lock_count(),
          .notifications = counters_->notifications};
}

}  // namespace cloister::share
