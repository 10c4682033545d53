// An enclave that lies, against this machine's kernel with the pump between them.
#include <atomic>

#include "fuse/notification.h"
#include "share/test_enclave.h"

namespace cloister::share {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kStorm = 2'000'000;  // notifications: 80 MB, more than may be kept

TEST_F(HostileEnclaveTest, AnHonestOneIsServed) {
  start(honestly);
  EXPECT_EQ(shell("test $(cat f) = hello; test $(readlink l) = f; test $(cat l) = hello; test -d d; ls d"),
            0);
  expect_unmounts("honest");
  EXPECT_TRUE(outcome_.get().has_value());
}

TEST_F(HostileEnclaveTest, SilenceEndsWithTheTimeout) {
  start([](const fuse_in_header&, ByteView) { return Bytes(); }, {}, 300ms);
  EXPECT_NE(shell("cat f"), 0);
  expect_ended(ErrorKind::unavailable, "silence");
}

TEST_F(HostileEnclaveTest, AReplyThatStallsEndsWithTheTimeoutAndItsMountCanGoBefore) {
  std::atomic<bool> asked{false};
  start(
      [&](const fuse_in_header& header, ByteView request) {
        auto reply = honestly(header, request);
        reply.resize(reply.size() / 2);
        asked = true;
        return reply;
      },
      {}, 3s);
  auto caller = std::async(std::launch::async, [this] { return shell("cat f"); });
  for (int i = 0; i < 1000 && !asked; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(mount_->unmount().has_value());  // while the caller waits inside
  EXPECT_NE(caller.get(), 0);
  expect_ended(ErrorKind::unavailable, "a stall");
}

TEST_F(HostileEnclaveTest, FramesThatLieEndTheMount) {
  auto unique = [](const fuse_in_header& header) { return header.unique; };
  struct Lie {
    const char* what;
    std::function<Bytes(const fuse_in_header&)> reply;
  };
  auto of_length = [](std::uint32_t length) {
    return [length](const fuse_in_header& header) {
      auto out = reply_to(header.unique, Bytes(64));
      fuse::store(out, length);
      return out;
    };
  };
  const std::vector<Lie> lies = {
      {"another unique", [&](const fuse_in_header& h) { return reply_to(unique(h) + 2, {}, ENOENT); }},
      {"unique 0", [&](const fuse_in_header&) { return reply_to(0, {}, ENOENT); }},
      {"a notification", [&](const fuse_in_header&) { return fuse::encode_inval_inode(1); }},
      {"a length below the header", of_length(15)},
      {"a length of 0", of_length(0)},
      {"a length above every message", of_length(fuse::kMaxMessage + 1)},
      {"a length of 4 GiB", of_length(~0U)},
      {"an error with a body", [&](const fuse_in_header& h) { return reply_to(unique(h), Bytes(8), EIO); }},
      {"a positive error", [&](const fuse_in_header& h) { return reply_to(unique(h), {}, -EIO); }},
      {"an error of the kernel's own", [&](const fuse_in_header& h) { return reply_to(unique(h), {}, 512); }},
      {"success without a body", [&](const fuse_in_header& h) { return reply_to(unique(h), {}); }},
  };
  for (const auto& lie : lies) {
    start([&](const fuse_in_header& header, ByteView) { return lie.reply(header); });
    EXPECT_NE(shell("cat f"), 0) << lie.what;
    expect_ended(ErrorKind::invalid, lie.what);
    end();
  }
}

TEST_F(HostileEnclaveTest, ARepliedOnceIsNotRepliedTwice) {
  // A right reply with more behind it than anybody asked for: the second request sees it.
  start([](const fuse_in_header& header, ByteView request) {
    auto out = honestly(header, request);
    for (int i = 0; i < 100; ++i) append(out, reply_to(header.unique, {}, ENOENT));
    return out;
  });
  EXPECT_NE(shell("cat f; cat f"), 0);
  expect_ended(ErrorKind::invalid, "replies never asked for");
}

TEST_F(HostileEnclaveTest, RepliesWithoutEndAreNotKept) {
  start([](const fuse_in_header& header, ByteView) {
    Bytes out;
    auto one = reply_to(header.unique, Bytes(fuse::kMaxWrite));
    for (int i = 0; i < 4; ++i) append(out, one);
    return out;
  });
  EXPECT_NE(shell("cat f"), 0);
  expect_ended(ErrorKind::invalid, "oversized replies");
}

TEST_F(HostileEnclaveTest, LiesAboutFilesEndTheMount) {
  struct Lie {
    const char* what;
    std::uint32_t opcode;
    Bytes body;
    const char* script;
  };
  auto changed = [](auto change) {
    auto out = entry(kFile);
    change(out);
    return with(out);
  };
  auto file = [](auto change) {
    fuse_attr_out out{.attr = attributes(kFile)};
    change(out.attr);
    return with(out);
  };
  const std::string nul("a\0b", 3);
  const std::vector<Lie> lies = {
      {"node 0", FUSE_LOOKUP, changed([](auto& e) { e.nodeid = 0; }), "cat f"},
      {"node 1", FUSE_LOOKUP, changed([](auto& e) { e.nodeid = 1; }), "cat f"},
      {"a block device", FUSE_LOOKUP, changed([](auto& e) { e.attr.mode = S_IFBLK | 0666; }), "cat f"},
      {"a character device", FUSE_LOOKUP, changed([](auto& e) { e.attr.mode = S_IFCHR | 0666; }), "cat f"},
      {"no type", FUSE_LOOKUP, changed([](auto& e) { e.attr.mode = 0666; }), "cat f"},
      {"a size of 2^63", FUSE_LOOKUP, changed([](auto& e) { e.attr.size = 1ULL << 63; }), "cat f"},
      {"a size of 2^64-1", FUSE_LOOKUP, changed([](auto& e) { e.attr.size = ~0ULL; }), "cat f"},
      {"a size of 2^63 later", FUSE_GETATTR, file([](auto& a) { a.size = 1ULL << 63; }), "stat f"},
      {"an entry cut short", FUSE_LOOKUP, Bytes(sizeof(fuse_entry_out) - 1), "cat f"},
      {"passthrough", FUSE_OPEN, with(fuse_open_out{.fh = 1, .open_flags = 1U << 7}), "cat f"},
      {"a stream", FUSE_OPEN, with(fuse_open_out{.fh = 1, .open_flags = FOPEN_STREAM}), "cat f"},
      {"more than asked for", FUSE_READ, Bytes(fuse::kMaxWrite), "cat f"},
      {"a target with NUL", FUSE_READLINK, to_bytes(as_bytes(nul)), "readlink l"},
      {"no target", FUSE_READLINK, {}, "readlink l"},
      {"a long target", FUSE_READLINK, Bytes(fuse::kMaxSymlink + 1, 'a'), "readlink l"},
      {"a name with a slash", FUSE_READDIR, dirent("../etc"), "ls d"},
      {"a name with NUL", FUSE_READDIR, dirent(nul), "ls d"},
      {"no name", FUSE_READDIR, dirent(""), "ls d"},
      {"a long name", FUSE_READDIR, dirent(std::string(256, 'n')), "ls d"},
      {"a listed device", FUSE_READDIR, dirent("sda", DT_BLK), "ls d"},
      {"half an entry", FUSE_READDIR, Bytes(10), "ls d"},
  };
  for (const auto& lie : lies) {
    start([&](const fuse_in_header& header, ByteView request) {
      if (header.opcode == lie.opcode) return reply_to(header.unique, lie.body);
      // Both kinds of listing are one lie: the kernel chooses.
      if (header.opcode == FUSE_READDIRPLUS && lie.opcode == FUSE_READDIR) {
        auto body = with(fuse_entry_out{});
        append(body, lie.body);
        return reply_to(header.unique, body);
      }
      return honestly(header, request);
    });
    EXPECT_NE(shell(lie.script), 0) << lie.what;
    expect_ended(ErrorKind::invalid, lie.what);
    end();
  }
}

TEST_F(HostileEnclaveTest, ModesAndNumbersThatMeanMoreArePlainHere) {
  auto tricky = entry(kFile);
  tricky.attr.mode = S_IFREG | 06755;
  tricky.attr.rdev = 0x103;
  tricky.attr.blksize = 0;
  tricky.attr.mtimensec = ~0U;
  tricky.attr.flags = ~0U;
  tricky.attr.nlink = 0;
  tricky.entry_valid = tricky.attr_valid = 60;  // so that nothing honest replaces it
  start_lying_at(FUSE_LOOKUP, with(tricky));
  EXPECT_EQ(shell("test $(stat -c %a f) = 755; test $(stat -c %o f) = 4096; test $(stat -c %t%T f) = 00"), 0);
  expect_unmounts("tricky modes");
}

TEST_F(HostileEnclaveTest, ANodeThatIsAnotherThingEachTimeHarmsNobody) {
  std::atomic<std::uint64_t> round{0};
  start([&](const fuse_in_header& header, ByteView request) {
    auto number = ++round;
    auto mask = std::array{S_IFREG, S_IFDIR, S_IFLNK}[number % 3];
    if (header.opcode == FUSE_LOOKUP) {
      auto out = entry(2 + number % 2);
      out.generation = number % 5;
      out.attr.mode = mask | 0755;
      return reply_to(header.unique, with(out));
    }
    if (header.opcode == FUSE_GETATTR && header.nodeid != FUSE_ROOT_ID) {
      fuse_attr_out out{.attr = attributes(header.nodeid)};
      out.attr.mode = mask | 0755;
      out.attr.size = number << 40;
      return reply_to(header.unique, with(out));
    }
    return honestly(header, request);
  });
  EXPECT_EQ(
      shell(
          "for i in $(seq 60); do for f in a b c; do timeout 5 stat $f/$f; timeout 5 head -c 9 $f; timeout 5 "
          "ls $f; done > /dev/null 2>&1 || true; done"),
      0);
  expect_unmounts("changing nodes");
}

TEST_F(HostileEnclaveTest, NotificationsThatLieEndTheMount) {
  auto with_code = [](std::int32_t code, std::size_t body) {
    fuse_out_header header{
        .len = static_cast<std::uint32_t>(sizeof header + body), .error = code, .unique = 0};
    auto out = to_bytes(fuse::bytes_of(header));
    out.resize(out.size() + body);
    return out;
  };
  auto entry_of_no_name = fuse::encode_inval_entry(1, "f");
  fuse::store(entry_of_no_name, std::uint32_t{0}, sizeof(fuse_out_header) + 8);
  const std::vector<std::pair<const char*, Bytes>> lies = {
      {"poll", with_code(FUSE_NOTIFY_POLL, 8)},
      {"store: data into the cache", with_code(FUSE_NOTIFY_STORE, sizeof(fuse_notify_store_out))},
      {"retrieve: data out of the cache", with_code(FUSE_NOTIFY_RETRIEVE, sizeof(fuse_notify_retrieve_out))},
      {"delete", with_code(FUSE_NOTIFY_DELETE, sizeof(fuse_notify_delete_out))},
      {"resend", with_code(7, 0)},
      {"an unknown code", with_code(99, 24)},
      {"a negative code", with_code(-5, 8)},
      {"a reply", reply_to(2, {}, ENOENT)},
      {"a long fence", with_code(0, 9)},
      {"a length of 4 GiB", Bytes(16, 0xff)},
      {"a name with a slash", fuse::encode_inval_entry(1, "a/b")},
      {"a parent's name", fuse::encode_inval_entry(1, "..")},
      {"a long name", fuse::encode_inval_entry(1, std::string(256, 'n'))},
      {"a name of another length", entry_of_no_name},
  };
  for (const auto& [what, lie] : lies) {
    start(honestly,
          [&bytes = lie](sys::FdStream& stream) { static_cast<void>(stream.write_all(bytes).has_value()); });
    expect_ended(ErrorKind::invalid, what);
    end();
  }
}

TEST_F(HostileEnclaveTest, AStormOfInvalidationsIsNotKept) {
  std::atomic<bool> sent{false};
  start(honestly, [&](sys::FdStream& stream) {
    Bytes chunk;
    for (std::uint64_t i = 0; i < 2000; ++i)
      append(chunk, i % 2 == 0 ? fuse::encode_inval_inode(i % 5) : fuse::encode_inval_entry(1, "f"));
    for (std::size_t i = 0; i < kStorm / 2000; ++i)
      if (!stream.write_all(chunk)) return;
    sent = true;
    while (stream.write_all(chunk)) {  // and on, while the mount goes
    }
  });
  EXPECT_EQ(shell("for i in $(seq 20); do test $(cat f) = hello; done"), 0);
  for (int i = 0; i < 3000 && !sent; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(sent);
  expect_unmounts("a storm");
}

TEST_F(HostileEnclaveTest, FencesThatNobodyReadsBlockNobodyElse) {
  start(honestly, [&](sys::FdStream& stream) {
    auto fence = fuse::encode_fence(7);
    while (stream.write_all(fence)) {  // never reads what comes back
    }
  });
  EXPECT_EQ(shell("for i in $(seq 20); do test $(cat f) = hello; done"), 0);
  expect_unmounts("unread fences");
}

TEST_F(HostileEnclaveTest, AFenceNeverAskedForComesBackAsItWas) {
  std::promise<Bytes> returned;
  start(honestly, [&](sys::FdStream& stream) {
    Bytes back(fuse::kFenceBytes);
    bool whole = stream.write_all(fuse::encode_fence(~0ULL)) && sys::read_exactly(stream, back);
    returned.set_value(whole ? back : Bytes());
  });
  EXPECT_EQ(returned.get_future().get(), fuse::encode_fence(~0ULL));
  EXPECT_EQ(shell("test $(cat f) = hello"), 0);
  expect_unmounts("a fence");
}

}  // namespace
}  // namespace cloister::share
