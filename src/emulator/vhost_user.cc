#include "emulator/vhost_user.h"

#include <linux/virtio_config.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "sys/stream.h"

namespace cloister::emulator {

namespace {

// Requests of the front end, by the specification's numbers.
enum class Request : std::uint32_t {
  get_features = 1,
  set_features = 2,
  set_owner = 3,
  reset_owner = 4,
  set_mem_table = 5,
  set_log_base = 6,
  set_log_fd = 7,
  set_vring_num = 8,
  set_vring_addr = 9,
  set_vring_base = 10,
  get_vring_base = 11,
  set_vring_kick = 12,
  set_vring_call = 13,
  set_vring_err = 14,
  get_protocol_features = 15,
  set_protocol_features = 16,
  get_queue_num = 17,
  set_vring_enable = 18,
};

struct Header {
  Request request{};
  std::uint32_t flags = 0;
  std::uint32_t size = 0;
};

constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kVersionMask = 3;
constexpr std::uint32_t kReplyFlag = 1U << 2;
constexpr std::uint32_t kNeedReply = 1U << 3;
constexpr std::uint64_t kProtocolFeatures = 1ULL << 30;  // VHOST_USER_F_PROTOCOL_FEATURES
constexpr std::uint64_t kMultiQueue = 1ULL << 0;         // VHOST_USER_PROTOCOL_F_MQ
constexpr std::uint64_t kReplyAck = 1ULL << 3;           // VHOST_USER_PROTOCOL_F_REPLY_ACK
constexpr std::uint64_t kNoDescriptor = 1ULL << 8;       // with a kick or call: none came along
constexpr std::size_t kRegionBytes = 32;

struct Message {
  Header header;
  Bytes payload;
  std::vector<sys::Fd> fds;
};

template <class T>
Result<T> field(const Message& message, std::size_t offset) {
  if (message.payload.size() < offset + sizeof(T))
    return fail(ErrorKind::invalid, "request {} with {} bytes", static_cast<unsigned>(message.header.request),
                message.payload.size());
  T out;
  std::memcpy(&out, message.payload.data() + offset, sizeof out);
  return out;
}

std::vector<sys::Fd> take_fds(msghdr& message) {
  std::vector<sys::Fd> out;
  for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    auto count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      out.emplace_back(fd);
    }
  }
  return out;
}

class BackEnd {
 public:
  BackEnd(sys::Fd front_end, const QueueHandler& handler)
      : stream_(std::move(front_end)), handler_(handler), queue_(memory_) {}

  Status serve() {
    for (;;) {
      std::array<pollfd, 2> entries{{{stream_.descriptor(), POLLIN, 0}, {kick_.get(), POLLIN, 0}}};
      if (::poll(entries.data(), kick_ ? 2 : 1, -1) < 0 && errno != EINTR) return fail_errno("poll");
      if (kick_ && entries[1].revents != 0) {
        std::uint64_t count = 0;
        (void)!::read(kick_.get(), &count, sizeof count);
        TRY(run_queue());
      }
      if (entries[0].revents == 0) continue;
      auto message = TRY(receive());
      if (!message) return {};
      TRY(answer(*message));
    }
  }

 private:
  // nullopt: the front end has closed.
  Result<std::optional<Message>> receive() {
    Message out;
    std::array<char, CMSG_SPACE(sizeof(int) * kMaxVhostFds)> control{};
    iovec part{&out.header, sizeof out.header};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto n = ::recvmsg(stream_.descriptor(), &message, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return fail(ErrorKind::unavailable, "half a message");
    if (n < 0) return fail_errno("vhost-user");
    if (n == 0) return std::optional<Message>();
    out.fds = take_fds(message);
    if (n != sizeof out.header || (message.msg_flags & MSG_CTRUNC) != 0)
      return fail(ErrorKind::invalid, "a vhost-user message of {} bytes", n);
    if ((out.header.flags & kVersionMask) != kVersion || out.header.size > kMaxVhostPayload)
      return fail(ErrorKind::invalid, "not a vhost-user message");
    out.payload.resize(out.header.size);
    TRY(sys::read_exactly(stream_, out.payload));
    return std::optional(std::move(out));
  }

  Status reply(Request request, ByteView payload) {
    Header header{request, kVersion | kReplyFlag, static_cast<std::uint32_t>(payload.size())};
    Bytes out(sizeof header);
    std::memcpy(out.data(), &header, sizeof header);
    out.insert(out.end(), payload.begin(), payload.end());
    return stream_.write_all(out);
  }

  template <class T>
  Status reply_value(Request request, const T& value) {
    return reply(request, {reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
  }

  Status answer(Message& message) {
    auto request = message.header.request;
    switch (request) {
      case Request::get_features:
        return reply_value(request, (1ULL << VIRTIO_F_VERSION_1) | kProtocolFeatures);
      case Request::get_protocol_features:
        return reply_value(request, kMultiQueue | kReplyAck);
      case Request::get_queue_num:
        return reply_value(request, std::uint64_t{1});
      case Request::get_vring_base: {
        // Also the order to stop (the specification's "ring states").
        enabled_ = false;
        std::array<std::uint32_t, 2> state{0, queue_.base()};
        return reply_value(request, state);
      }
      default:
        break;
    }
    TRY(change(message));
    if ((message.header.flags & kNeedReply) != 0) return reply_value(request, std::uint64_t{0});
    return {};
  }

  // Requests without an answer of their own.
  Status change(Message& message) {
    switch (message.header.request) {
      case Request::set_mem_table:
        return set_memory(message);
      case Request::set_vring_num:
        return queue_.set_size(TRY(field<std::uint32_t>(message, 4)));
      case Request::set_vring_addr:
        queue_.set_addresses({.descriptors = TRY(field<std::uint64_t>(message, 8)),
                              .used = TRY(field<std::uint64_t>(message, 16)),
                              .available = TRY(field<std::uint64_t>(message, 24))});
        return {};
      case Request::set_vring_base:
        queue_.set_base(static_cast<std::uint16_t>(TRY(field<std::uint32_t>(message, 4))));
        return {};
      case Request::set_vring_kick:
        return set_bell(message, kick_);
      case Request::set_vring_call:
        TRY(set_bell(message, call_));
        // QEMU swaps this descriptor while the guest boots: an answer signalled on the old one would be lost,
        // and the guest would wait for ever. One signal too many is harmless.
        return ring();
      case Request::set_vring_enable:
        enabled_ = TRY(field<std::uint32_t>(message, 4)) != 0;
        return run_queue();
      case Request::set_features:
      case Request::set_owner:
      case Request::reset_owner:
      case Request::set_protocol_features:
      case Request::set_vring_err:
        return {};
      default:
        return fail(ErrorKind::invalid, "vhost-user request {}",
                    static_cast<unsigned>(message.header.request));
    }
  }

  Status set_memory(Message& message) {
    auto count = TRY(field<std::uint32_t>(message, 0));
    if (count > kMaxMemoryRegions) return fail(ErrorKind::invalid, "{} memory regions", count);
    std::vector<MemoryRegion> regions;
    for (std::size_t at = 8; regions.size() < count; at += kRegionBytes) {
      regions.push_back({.guest_address = TRY(field<std::uint64_t>(message, at)),
                         .size = TRY(field<std::uint64_t>(message, at + 8)),
                         .user_address = TRY(field<std::uint64_t>(message, at + 16)),
                         .file_offset = TRY(field<std::uint64_t>(message, at + 24))});
    }
    return memory_.map_regions(regions, message.fds);
  }

  static Status set_bell(Message& message, sys::Fd& bell) {
    auto which = TRY(field<std::uint64_t>(message, 0));
    if ((which & 0xff) != 0) return fail(ErrorKind::invalid, "queue {} of one", which & 0xff);
    bell.reset();
    if ((which & kNoDescriptor) == 0 && !message.fds.empty()) bell = std::move(message.fds.front());
    return {};
  }

  // A ring is not served before it is enabled: its addresses may not be set yet.
  Status run_queue() {
    if (!enabled_) return {};
    if (TRY(handler_(queue_))) TRY(ring());
    return {};
  }

  Status ring() {
    std::uint64_t one = 1;
    if (call_ && ::write(call_.get(), &one, sizeof one) < 0) return fail_errno("signal the guest");
    return {};
  }

  sys::FdStream stream_;
  const QueueHandler& handler_;
  GuestMemory memory_;
  Virtqueue queue_;
  sys::Fd kick_;
  sys::Fd call_;
  bool enabled_ = false;
};

}  // namespace

Status serve_vhost_user(sys::Fd front_end, const QueueHandler& handler) {
  return BackEnd(std::move(front_end), handler).serve();
}

}  // namespace cloister::emulator
