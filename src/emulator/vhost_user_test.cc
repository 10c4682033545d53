// A front end in the place of QEMU, with a file in memory for the guest's.
#include "emulator/vhost_user.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "emulator/nsm_virtio.h"
#include "sys/message_socket.h"
#include "sys/stream.h"

namespace cloister::emulator {
namespace {

using testing::HasSubstr;

constexpr std::size_t kMemory = 64 * 1024;
constexpr std::uint64_t kGuestBase = 0x100000;
constexpr std::uint64_t kUserBase = 0x7f0000000000;
constexpr std::uint32_t kQueueSize = 8;
constexpr std::size_t kDescriptors = 0;  // offsets in the memory
constexpr std::size_t kAvailable = 0x1000;
constexpr std::size_t kUsed = 0x2000;
constexpr std::size_t kBuffers = 0x4000;

class Echo final : public attestation::NsmDevice {
 public:
  Result<Bytes> exchange(ByteView request) override {
    Bytes out(request.rbegin(), request.rend());
    return out;
  }
};

class FrontEnd : public testing::Test {
 protected:
  FrontEnd() {
    memory_fd_ = sys::Fd(::memfd_create("guest", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(memory_fd_.get(), kMemory), 0);
    memory_ = static_cast<std::uint8_t*>(
        ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_.get(), 0));
    kick_ = sys::Fd(::eventfd(0, EFD_CLOEXEC));
    call_ = sys::Fd(::eventfd(0, EFD_CLOEXEC));
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    ours_ = std::move(pair.first);
    back_end_ = std::thread([this, fd = std::move(pair.second)]() mutable {
      NsmVirtio device(echo_);
      outcome_ = serve_vhost_user(std::move(fd), [&](Virtqueue& queue) { return device.serve(queue); });
    });
  }
  ~FrontEnd() override {
    (void)finish().has_value();
    ::munmap(memory_, kMemory);
  }

  // What the back end has returned, once it is told no more.
  Status finish() {
    ours_.reset();
    if (back_end_.joinable()) back_end_.join();
    return outcome_;
  }

  void send(std::uint32_t request, ByteView payload, std::initializer_list<int> fds = {},
            std::uint32_t flags = 1) {
    std::uint32_t header[] = {request, flags, static_cast<std::uint32_t>(payload.size())};
    Bytes bytes(sizeof header);
    std::memcpy(bytes.data(), header, sizeof header);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
    if (fds.size() != 0) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      auto* head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      std::memcpy(CMSG_DATA(head), fds.begin(), sizeof(int) * fds.size());
    }
    ::sendmsg(ours_.get(), &message, MSG_NOSIGNAL);
  }
  template <class... T>
  void send_fields(std::uint32_t request, std::initializer_list<int> fds, T... fields) {
    Bytes payload;
    (append(payload, {reinterpret_cast<const std::uint8_t*>(&fields), sizeof fields}), ...);
    send(request, payload, fds);
  }
  std::uint64_t answer() {
    std::uint8_t bytes[20] = {};
    EXPECT_EQ(::recv(ours_.get(), bytes, sizeof bytes, MSG_WAITALL), 20);
    std::uint64_t value = 0;
    std::memcpy(&value, bytes + 12, sizeof value);
    return value;
  }

  void share_memory(std::uint64_t size = kMemory) {
    send_fields(5, {memory_fd_.get()}, std::uint32_t{1}, std::uint32_t{0}, kGuestBase, size, kUserBase,
                std::uint64_t{0});
  }
  void set_up_queue() {
    share_memory();
    send_fields(8, {}, std::uint32_t{0}, kQueueSize);
    send_fields(9, {}, std::uint32_t{0}, std::uint32_t{0}, kUserBase + kDescriptors, kUserBase + kUsed,
                kUserBase + kAvailable, std::uint64_t{0});
    send_fields(10, {}, std::uint32_t{0}, std::uint32_t{0});
    send_fields(12, {kick_.get()}, std::uint64_t{0});
    send_fields(13, {call_.get()}, std::uint64_t{0});
    send_fields(18, {}, std::uint32_t{0}, std::uint32_t{1});
  }

  void descriptor(unsigned index, std::uint64_t address, std::uint32_t length, std::uint16_t flags,
                  std::uint16_t next = 0) {
    auto* at = memory_ + kDescriptors + 16 * index;
    std::memcpy(at, &address, 8);
    std::memcpy(at + 8, &length, 4);
    std::memcpy(at + 12, &flags, 2);
    std::memcpy(at + 14, &next, 2);
  }
  void make_available(std::initializer_list<std::uint16_t> heads) {
    for (auto head : heads) {
      std::memcpy(memory_ + kAvailable + 4 + 2 * (available_ % kQueueSize), &head, 2);
      ++available_;
    }
    std::memcpy(memory_ + kAvailable + 2, &available_, 2);
    std::uint64_t one = 1;
    EXPECT_EQ(::write(kick_.get(), &one, sizeof one), 8);
  }
  std::uint16_t used() {
    std::uint16_t out = 0;
    std::memcpy(&out, memory_ + kUsed + 2, 2);
    return out;
  }
  void await_used(std::uint16_t count) {
    auto deadline = sys::Deadline::after(sys::seconds(20));
    while (used() != count && !deadline.passed()) ::usleep(1000);
    EXPECT_EQ(used(), count);
  }
  // As the driver does: the question and the room for the answer are two chains.
  void ask(std::string_view question) {
    std::memcpy(memory_ + kBuffers, question.data(), question.size());
    descriptor(0, kGuestBase + kBuffers, static_cast<std::uint32_t>(question.size()), 0);
    descriptor(1, kGuestBase + kBuffers + 0x1000, 0x3000, 2);
    make_available({0, 1});
  }
  std::string answer_text(std::size_t size) {
    return std::string(reinterpret_cast<char*>(memory_ + kBuffers + 0x1000), size);
  }

  sys::Fd memory_fd_, kick_, call_, ours_;
  std::uint8_t* memory_ = nullptr;
  std::uint16_t available_ = 0;
  Echo echo_;
  Status outcome_;
  std::thread back_end_;
};

TEST_F(FrontEnd, NegotiatesAndAsks) {
  send(1, {});
  EXPECT_EQ(answer(), 1ULL << 32 | 1ULL << 30);
  send(15, {});
  EXPECT_EQ(answer(), 1ULL << 0 | 1ULL << 3);
  send(17, {});
  EXPECT_EQ(answer(), 1U);
  set_up_queue();
  for (std::uint16_t i = 1; i <= 20; ++i) {  // further than the ring is long
    ask("question");
    await_used(static_cast<std::uint16_t>(2 * i));
    EXPECT_EQ(answer_text(8), "noitseuq");
  }
  send_fields(11, {}, std::uint32_t{0}, std::uint32_t{0});
  EXPECT_EQ(answer() >> 32, 40U);  // the queue's index
  EXPECT_TRUE(finish());
}

TEST_F(FrontEnd, AnswersOnlyOnAnEnabledRing) {
  set_up_queue();
  send_fields(18, {}, std::uint32_t{0}, std::uint32_t{0});
  send(17, {});
  answer();  // it has read the order by now
  ask("early");
  ::usleep(50'000);
  EXPECT_EQ(used(), 0);
  send_fields(18, {}, std::uint32_t{0}, std::uint32_t{1});
  await_used(2);
}

// QEMU gives the guest another descriptor for interrupts while it boots.
TEST_F(FrontEnd, IsSignalledAgainOnANewDescriptor) {
  set_up_queue();
  ask("one");
  await_used(2);
  sys::Fd other(::eventfd(0, EFD_CLOEXEC));
  send_fields(13, {other.get()}, std::uint64_t{0});
  pollfd entry{other.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&entry, 1, 5000), 1);
}

TEST_F(FrontEnd, MayNotPointBeyondTheGuestsMemory) {
  set_up_queue();
  descriptor(0, kGuestBase + kMemory - 4, 8, 0);
  make_available({0});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("are not the guest's"));
}

TEST_F(FrontEnd, MayNotWrapAround) {
  set_up_queue();
  descriptor(0, ~0ULL - 2, 8, 0);
  make_available({0});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("are not the guest's"));
}

TEST_F(FrontEnd, MayNotChainWithoutEnd) {
  set_up_queue();
  descriptor(0, kGuestBase + kBuffers, 1, 1, 1);
  descriptor(1, kGuestBase + kBuffers, 1, 1, 0);
  make_available({0});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("does not end"));
}

TEST_F(FrontEnd, MayNotNameADescriptorThatIsNone) {
  set_up_queue();
  make_available({static_cast<std::uint16_t>(kQueueSize)});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("descriptor 8 of 8"));
}

TEST_F(FrontEnd, MayNotAskForMoreThanTheDriverCould) {
  set_up_queue();
  descriptor(0, kGuestBase + kBuffers, attestation::kMaxNsmRequest + 1, 0);
  make_available({0});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("more than 4096 bytes"));
}

TEST_F(FrontEnd, MayNotLeaveRoomBeforeAQuestion) {
  set_up_queue();
  descriptor(0, kGuestBase + kBuffers, 16, 2);
  make_available({0});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("before a question"));
}

// Touching a mapping beyond its file would be a signal, not an error.
TEST_F(FrontEnd, MayNotShareMoreThanItsFile) {
  share_memory(kMemory + 4096);
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("larger than its file"));
}

TEST_F(FrontEnd, MustSpeakTheProtocol) {
  send(1, {}, {}, 2);
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("not a vhost-user message"));
}

TEST_F(FrontEnd, MayNotSizeAQueueAsItLikes) {
  send_fields(8, {}, std::uint32_t{0}, std::uint32_t{3});
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("a queue of 3"));
}

TEST_F(FrontEnd, MayNotSendHalfARegion) {
  send_fields(5, {memory_fd_.get()}, std::uint32_t{1}, std::uint32_t{0}, kGuestBase);
  back_end_.join();
  EXPECT_THAT(outcome_.error().message(), HasSubstr("request 5 with 16 bytes"));
}

}  // namespace
}  // namespace cloister::emulator
