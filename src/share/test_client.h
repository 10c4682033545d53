// For this room's tests: a share on a temporary directory, and a client that speaks FUSE by hand.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fuse/limits.h"
#include "fuse/test_messages.h"
#include "fuse/wire.h"
#include "share/server.h"
#include "sys/fd.h"

namespace cloister::share {

// On a tmpfs where there is one, as in the enclave.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern =
        ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/cloister-share.XXXXXX" : "/tmp/cloister-share.XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void write_text(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}
inline std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Answer {
  int error = 0;  // positive errno
  Bytes body;
  template <class T>
  T as(std::size_t offset = 0) const {
    EXPECT_EQ(error, 0);
    if (body.size() < offset + sizeof(T)) {
      ADD_FAILURE() << "a reply of " << body.size() << " bytes";
      return T{};
    }
    return fuse::load<T>(body, offset);
  }
};

using fuse::make_request;
using fuse::name_bytes;
using fuse::with;

// A server on a temporary directory, asked over a lane as the pump would.
class ShareTest : public testing::Test {
 protected:
  void SetUp() override { start({}); }
  void TearDown() override { stop(); }

  void start(ServerOptions options) {
    auto server = Server::create(sys::Dir::open(root.path()).value(), std::move(options));
    ASSERT_TRUE(server.has_value()) << server.error().message();
    server_ = std::move(*server);
    auto pair = sys::make_socket_pair(SOCK_STREAM).value();
    lane_ = std::make_unique<sys::FdStream>(std::move(pair.first));
    lane_->set_deadline(sys::Deadline::after(sys::seconds(50)));  // of the whole test
    reader_ = std::make_unique<fuse::MessageReader>(*lane_, sizeof(fuse_out_header), fuse::kMaxMessage);
    thread_ = std::thread([this, fd = pair.second.release()] { server_->serve_lane(sys::Fd(fd)); });
  }
  void stop() {
    lane_.reset();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }

  void send(const Bytes& request) { ASSERT_TRUE(lane_->write_all(request).has_value()); }
  Answer receive(std::uint64_t unique) {
    auto reply = reader_->next();
    if (!reply || !reply->has_value()) {
      ADD_FAILURE() << "no reply";
      return {.error = -1, .body = {}};
    }
    auto header = fuse::load<fuse_out_header>(**reply);
    EXPECT_EQ(header.unique, unique);
    EXPECT_LE(header.error, 0);
    return {.error = -header.error, .body = to_bytes((*reply)->subspan(sizeof header))};
  }
  Answer ask(std::uint32_t opcode, std::uint64_t node, const Bytes& body = {}) {
    unique_ += 2;
    send(make_request(opcode, node, body, unique_));
    return receive(unique_);
  }
  // Whether the server closes the lane on this message.
  bool closes_on(const Bytes& message) {
    send(message);
    auto reply = reader_->next();
    return reply.has_value() && !reply->has_value();
  }

  Answer lookup(std::string_view name, std::uint64_t parent = FUSE_ROOT_ID) {
    return ask(FUSE_LOOKUP, parent, name_bytes(name));
  }
  std::uint64_t node_of(std::string_view name, std::uint64_t parent = FUSE_ROOT_ID) {
    return lookup(name, parent).as<fuse_entry_out>().nodeid;
  }
  std::uint64_t open(std::uint64_t node, std::uint32_t flags) {
    return ask(FUSE_OPEN, node, with(fuse_open_in{.flags = flags})).as<fuse_open_out>().fh;
  }
  Answer read(std::uint64_t node, std::uint64_t handle, std::uint64_t offset, std::uint32_t size) {
    return ask(FUSE_READ, node, with(fuse_read_in{.fh = handle, .offset = offset, .size = size}));
  }
  Answer write(std::uint64_t node, std::uint64_t handle, std::uint64_t offset, std::string_view data,
               std::uint32_t flags = 0, std::uint32_t write_flags = 0) {
    fuse_write_in head{.fh = handle, .offset = offset, .size = static_cast<std::uint32_t>(data.size())};
    head.flags = flags;
    head.write_flags = write_flags;
    auto body = with(head);
    append(body, as_bytes(data));
    return ask(FUSE_WRITE, node, body);
  }
  Answer make_dir(std::string_view name, std::uint32_t mode = 0755) {
    return ask(FUSE_MKDIR, FUSE_ROOT_ID, with(fuse_mkdir_in{.mode = mode}, {name}));
  }
  Answer make_link(std::string_view name, std::string_view target, std::uint64_t parent = FUSE_ROOT_ID) {
    auto body = name_bytes(name);
    append(body, name_bytes(target));
    return ask(FUSE_SYMLINK, parent, body);
  }
  Answer rename(std::uint64_t from, std::string_view old_name, std::uint64_t to, std::string_view new_name,
                std::uint32_t flags = 0) {
    return ask(FUSE_RENAME2, from, with(fuse_rename2_in{.newdir = to, .flags = flags}, {old_name, new_name}));
  }
  // The names that a whole listing shows, in its order.
  std::vector<std::string> list(std::uint64_t node, bool plus, std::uint32_t size = 4096) {
    auto handle = ask(FUSE_OPENDIR, node, with(fuse_open_in{})).as<fuse_open_out>().fh;
    std::vector<std::string> names;
    std::uint64_t offset = 0;
    for (;;) {
      auto part = ask(plus ? FUSE_READDIRPLUS : FUSE_READDIR, node,
                      with(fuse_read_in{.fh = handle, .offset = offset, .size = size}));
      EXPECT_EQ(part.error, 0);
      if (part.body.empty()) break;
      auto before = plus ? sizeof(fuse_entry_out) : 0;
      for (std::size_t at = 0; at < part.body.size();) {
        auto head = fuse::load<fuse_dirent>(part.body, at + before);
        names.emplace_back(
            as_text(ByteView(part.body).subspan(at + before + FUSE_NAME_OFFSET, head.namelen)));
        offset = head.off;
        at += before + FUSE_REC_ALIGN(FUSE_NAME_OFFSET + head.namelen);
      }
    }
    EXPECT_EQ(ask(FUSE_RELEASEDIR, node, with(fuse_release_in{.fh = handle})).error, 0);
    return names;
  }

  TemporaryDirectory root;
  std::unique_ptr<Server> server_;
  std::unique_ptr<sys::FdStream> lane_;
  std::unique_ptr<fuse::MessageReader> reader_;
  std::thread thread_;
  std::uint64_t unique_ = 0;
};

}  // namespace cloister::share
