// For tests: an enclave that answers as the test says, a pump, and this machine's kernel.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <fstream>
#include <functional>
#include <future>

#include "fuse/limits.h"
#include "fuse/wire.h"
#include "share/mount.h"
#include "share/pump.h"
#include "share/test_client.h"
#include "share/test_mount.h"

namespace cloister::share {

// MiB that this process may grow by, whatever an enclave sends. Sanitizers keep what was freed for a while.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::size_t kMaxGrowth = 512;
#else
inline constexpr std::size_t kMaxGrowth = 64;
#endif
inline constexpr std::uint64_t kFile = 2, kDirectory = 3, kLink = 4;

inline std::size_t resident_mib() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) >> 20;
}

inline Bytes reply_to(std::uint64_t unique, const Bytes& body, int error = 0) {
  fuse_out_header header{.len = 0, .error = -error, .unique = unique};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  auto out = to_bytes(fuse::bytes_of(header));
  append(out, body);
  return out;
}

inline fuse_attr attributes(std::uint64_t node) {
  fuse_attr out{};
  out.ino = node;
  out.nlink = 1;
  out.size = 5;
  out.mode = node == kFile ? S_IFREG | 0644U : node == kLink ? S_IFLNK | 0777U : S_IFDIR | 0755U;
  return out;
}

inline fuse_entry_out entry(std::uint64_t node) {
  return {.nodeid = node, .attr = attributes(node)};  // valid for 0 s: every use asks again
}

inline Bytes dirent(std::string_view name, std::uint32_t type = DT_REG) {
  fuse_dirent head{.ino = 9, .off = 1, .namelen = static_cast<std::uint32_t>(name.size()), .type = type};
  Bytes out(FUSE_REC_ALIGN(FUSE_NAME_OFFSET + name.size()));
  std::copy_n(reinterpret_cast<const std::uint8_t*>(&head), FUSE_NAME_OFFSET, out.begin());
  std::copy(name.begin(), name.end(), out.begin() + FUSE_NAME_OFFSET);
  return out;
}

struct Reply {
  Bytes body;
  int error = 0;
};

// What an honest enclave with a file "f", a directory "d" and a link "l" to the file would answer.
inline Reply honest(const fuse_in_header& header, ByteView body) {
  switch (header.opcode) {
    case FUSE_LOOKUP: {
      auto name = as_text(body).substr(0, 1);
      if (name == "f") return {with(entry(kFile))};
      if (name == "d") return {with(entry(kDirectory))};
      if (name == "l") return {with(entry(kLink))};
      return {{}, ENOENT};
    }
    case FUSE_GETATTR:
      return {with(fuse_attr_out{.attr = attributes(header.nodeid)})};
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return {with(fuse_open_out{.fh = 1})};
    case FUSE_READ:
      return {fuse::load<fuse_read_in>(body).offset == 0 ? to_bytes(as_bytes("hello")) : Bytes()};
    case FUSE_READLINK:
      return {to_bytes(as_bytes("f"))};
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return {};
    default:
      return {{}, ENOSYS};
  }
}

class HostileEnclaveTest : public testing::Test {
 protected:
  using Requests = std::function<Bytes(const fuse_in_header&, ByteView body)>;  // empty: no answer
  using Notify = std::function<void(sys::FdStream&)>;

  void SetUp() override {
    if (auto reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    before_ = resident_mib();
  }
  void TearDown() override {
    end();
    ::umount2(at.path().c_str(), MNT_DETACH);  // whatever a failed test left
  }

  void start(const Requests& answer, const Notify& notify = {},
             sys::milliseconds reply_timeout = sys::seconds(20)) {
    Lanes lanes;
    lanes.requests.push_back(near_end());
    serving_.emplace_back([&stream = *far_.back(), answer] { serve(stream, answer); });
    if (notify) {
      lanes.notifications = near_end();
      serving_.emplace_back([&stream = *far_.back(), notify] { notify(stream); });
    }
    mount_ = std::make_unique<Mount>(Mount::mount(at.path()).value());
    outcome_ = std::async(std::launch::async, [this, reply_timeout, lanes = std::move(lanes)]() mutable {
      return pump(*mount_, std::move(lanes), {.reply_timeout = reply_timeout});
    });
  }
  // Honest but for the operation `opcode`, which is answered with this body.
  void start_lying_at(std::uint32_t opcode, const Bytes& body) {
    start([=](const fuse_in_header& header, ByteView request) {
      if (header.opcode == opcode) return reply_to(header.unique, body);
      auto truth = honest(header, request);
      return reply_to(header.unique, truth.body, truth.error);
    });
  }
  static Bytes honestly(const fuse_in_header& header, ByteView request) {
    auto truth = honest(header, request);
    return reply_to(header.unique, truth.body, truth.error);
  }

  int shell(const std::string& script) { return run_in("/", "cd " + at.path() + "; " + script); }
  // The enclave's lie ended the mount, and the caller was not left waiting.
  void expect_ended(ErrorKind kind, const std::string& what) {
    ASSERT_EQ(outcome_.wait_for(sys::seconds(30)), std::future_status::ready) << what;
    auto outcome = outcome_.get();
    ASSERT_FALSE(outcome.has_value()) << what;
    EXPECT_EQ(outcome.error().kind(), kind) << what << ": " << outcome.error().message();
    expect_unmounts(what);
  }
  void expect_unmounts(const std::string& what) {
    EXPECT_TRUE(mount_->unmount().has_value()) << what;
    EXPECT_EQ(run_in("/", "timeout 10 ls " + at.path()), 0) << what;
    if (outcome_.valid()) {
      EXPECT_EQ(outcome_.wait_for(sys::seconds(30)), std::future_status::ready) << what;
    }
    EXPECT_LE(resident_mib(), before_ + kMaxGrowth) << what;
  }
  void end() {
    if (mount_ != nullptr) static_cast<void>(mount_->unmount().has_value());
    for (auto& stream : far_) ::shutdown(stream->descriptor(), SHUT_RDWR);
    if (outcome_.valid()) outcome_.wait();
    for (auto& thread : serving_) thread.join();
    mount_.reset();
    serving_.clear();
    far_.clear();
  }

  TemporaryDirectory at;
  std::future<Status> outcome_;
  std::unique_ptr<Mount> mount_;

 private:
  std::unique_ptr<sys::FdStream> near_end() {
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    far_.push_back(std::make_unique<sys::FdStream>(std::move(pair.second)));
    return std::make_unique<sys::FdStream>(std::move(pair.first));
  }
  static void serve(sys::FdStream& stream, const Requests& answer) {
    fuse::MessageReader reader(stream, sizeof(fuse_in_header), fuse::kMaxMessage);
    for (auto message = reader.next(); message && message->has_value(); message = reader.next()) {
      auto header = fuse::load<fuse_in_header>(**message);
      if (header.opcode == FUSE_FORGET || header.opcode == FUSE_BATCH_FORGET) continue;
      auto reply = answer(header, (*message)->subspan(sizeof header));
      if (!reply.empty() && !stream.write_all(reply)) return;
    }
  }
  std::vector<std::unique_ptr<sys::FdStream>> far_;
  std::vector<std::thread> serving_;
  std::size_t before_ = 0;
};

}  // namespace cloister::share
