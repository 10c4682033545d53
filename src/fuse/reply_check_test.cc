// Forged replies and notifications against the client's judgement of them.
#include "fuse/reply_check.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "fuse/init.h"
#include "fuse/notification.h"
#include "fuse/protocol.h"
#include "fuse/test_messages.h"

namespace cloister::fuse {
namespace {

constexpr std::uint64_t kUnique = 42;
const Presentation kMine{.keep_owners = false, .uid = 1000, .gid = 1001};

Bytes reply(const Bytes& body, std::int32_t error = 0, std::uint64_t unique = kUnique) {
  Bytes out(sizeof(fuse_out_header));
  store(out,
        fuse_out_header{
            .len = static_cast<std::uint32_t>(out.size() + body.size()), .error = error, .unique = unique});
  append(out, body);
  return out;
}
bool accepts(std::uint32_t opcode, Bytes message, std::uint64_t asked = 0) {
  return check_reply({.opcode = opcode, .unique = kUnique, .asked = asked}, message, kMine).has_value();
}
fuse_entry_out entry() {
  fuse_entry_out out{.nodeid = 5, .entry_valid = 1, .attr_valid = 1};
  out.attr.mode = S_IFREG | 0644;
  out.attr.nlink = 1;
  return out;
}
Bytes dirent(std::string_view name, std::uint32_t type = 8) {
  fuse_dirent head{.ino = 9, .off = 1, .namelen = static_cast<std::uint32_t>(name.size()), .type = type};
  Bytes out(FUSE_NAME_OFFSET);
  std::memcpy(out.data(), &head, FUSE_NAME_OFFSET);
  append(out, as_bytes(name));
  out.resize(FUSE_REC_ALIGN(out.size()));
  return out;
}

TEST(ReplyCheck, TheHeaderMustFitTheRequest) {
  EXPECT_TRUE(accepts(FUSE_UNLINK, reply({})));
  EXPECT_FALSE(accepts(FUSE_UNLINK, reply({}, 0, kUnique + 2)));
  EXPECT_FALSE(accepts(FUSE_UNLINK, reply({}, 0, 0)));  // a notification in disguise
  EXPECT_FALSE(accepts(FUSE_FORGET, reply({})));
  EXPECT_FALSE(accepts(FUSE_UNLINK, Bytes(15)));
  auto lying = reply({});
  store(lying, std::uint32_t{17});
  EXPECT_FALSE(accepts(FUSE_UNLINK, lying));
}

TEST(ReplyCheck, ErrorsAreErrnoValuesAlone) {
  for (int error : {-1, -ENOENT, -ENOSYS, -511}) EXPECT_TRUE(accepts(FUSE_LOOKUP, reply({}, error))) << error;
  for (int error : {1, -512, -4095, INT32_MIN}) EXPECT_FALSE(accepts(FUSE_LOOKUP, reply({}, error))) << error;
  EXPECT_FALSE(accepts(FUSE_READ, reply(Bytes(4), -EIO), 100));
}

TEST(ReplyCheck, LengthsAreTheOpcodes) {
  struct Exact {
    std::uint32_t opcode;
    std::size_t size;
  };
  for (auto [opcode, size] :
       {Exact{FUSE_LOOKUP, sizeof(fuse_entry_out)}, Exact{FUSE_GETATTR, sizeof(fuse_attr_out)},
        Exact{FUSE_OPEN, sizeof(fuse_open_out)}, Exact{FUSE_WRITE, sizeof(fuse_write_out)},
        Exact{FUSE_STATFS, sizeof(fuse_statfs_out)}, Exact{FUSE_RENAME2, 0}, Exact{FUSE_RELEASE, 0},
        Exact{FUSE_CREATE, sizeof(fuse_entry_out) + sizeof(fuse_open_out)},
        Exact{FUSE_LSEEK, sizeof(fuse_lseek_out)}}) {
    EXPECT_FALSE(accepts(opcode, reply(Bytes(size + 1)))) << opcode;
    EXPECT_FALSE(size > 0 && accepts(opcode, reply(Bytes(size - 1)))) << opcode;
  }
  EXPECT_TRUE(accepts(FUSE_READ, reply(Bytes(100)), 100));
  EXPECT_FALSE(accepts(FUSE_READ, reply(Bytes(101)), 100));
  EXPECT_TRUE(accepts(FUSE_WRITE, reply(with(fuse_write_out{.size = 5})), 5));
  EXPECT_FALSE(accepts(FUSE_WRITE, reply(with(fuse_write_out{.size = 6})), 5));
  EXPECT_FALSE(accepts(FUSE_COPY_FILE_RANGE, reply(with(fuse_write_out{.size = 6})), 5));
  EXPECT_FALSE(accepts(FUSE_LSEEK, reply(with(fuse_lseek_out{.offset = ~0ULL}))));
  for (std::uint32_t opcode : {FUSE_IOCTL, FUSE_POLL, FUSE_GETLK, FUSE_ACCESS, FUSE_INIT})
    EXPECT_FALSE(accepts(opcode, reply({}))) << opcode;
}

TEST(ReplyCheck, AttributesAreMadeHarmless) {
  auto out = entry();
  out.attr.mode = S_IFREG | 06755;
  out.attr.rdev = 0x801;
  out.attr.flags = FUSE_ATTR_SUBMOUNT;
  out.attr.blksize = 1;
  out.attr.mtimensec = ~0U;
  out.attr.uid = 0;
  auto message = reply(with(out));
  ASSERT_TRUE(check_reply({.opcode = FUSE_LOOKUP, .unique = kUnique}, message, kMine).has_value());
  auto seen = load<fuse_entry_out>(message, sizeof(fuse_out_header)).attr;
  EXPECT_EQ(seen.mode, S_IFREG | 0755U);
  EXPECT_EQ(seen.rdev, 0U);
  EXPECT_EQ(seen.flags, 0U);
  EXPECT_EQ(seen.blksize, 4096U);
  EXPECT_LT(seen.mtimensec, 1'000'000'000U);
  EXPECT_EQ(seen.uid, 1000U);
  EXPECT_EQ(seen.gid, 1001U);
}

TEST(ReplyCheck, NodesAreNoDevices) {
  for (std::uint32_t type : {S_IFCHR, S_IFBLK, 0, S_IFREG | S_IFIFO}) {
    auto out = entry();
    out.attr.mode = type | 0644;
    EXPECT_FALSE(accepts(FUSE_LOOKUP, reply(with(out)))) << type;
    EXPECT_FALSE(accepts(FUSE_GETATTR, reply(with(fuse_attr_out{.attr = out.attr})))) << type;
  }
  for (std::uint64_t node : {0, 1}) {
    auto out = entry();
    out.nodeid = node;
    EXPECT_FALSE(accepts(FUSE_LOOKUP, reply(with(out)))) << node;
  }
  auto huge = entry();
  huge.attr.size = ~0ULL;
  EXPECT_FALSE(accepts(FUSE_LOOKUP, reply(with(huge))));
}

TEST(ReplyCheck, ExtendedAttributesOfStatxAreMadeHarmless) {
  StatxOut out{.attr_valid = 1};
  out.stat.mask = ~0U;
  out.stat.mode = S_IFREG | 07777;
  out.stat.attributes = out.stat.attributes_mask = ~0ULL;
  out.stat.rdev_major = 8;
  out.stat.btime = {.seconds = 7, .nanoseconds = ~0U, .reserved = 0};
  auto message = reply(with(out));
  ASSERT_TRUE(check_reply({.opcode = kOpStatx, .unique = kUnique, .asked = 0}, message, kMine).has_value());
  auto seen = load<StatxOut>(message, sizeof(fuse_out_header)).stat;
  EXPECT_EQ(seen.mask, static_cast<std::uint32_t>(STATX_BASIC_STATS | STATX_BTIME));
  EXPECT_EQ(seen.mode, S_IFREG | 01777);
  EXPECT_EQ(seen.attributes | seen.attributes_mask | seen.rdev_major, 0U);
  EXPECT_EQ(seen.btime.seconds, 7);
  EXPECT_EQ(seen.btime.nanoseconds, 999'999'999U);
  EXPECT_EQ(seen.uid, 1000U);
  out.stat.mode = S_IFBLK | 0600;
  EXPECT_FALSE(accepts(kOpStatx, reply(with(out))));
  out.stat.mode = S_IFREG;
  out.stat.size = ~0ULL;
  EXPECT_FALSE(accepts(kOpStatx, reply(with(out))));
}

TEST(ReplyCheck, LocksAreRangesOfAKnownType) {
  auto with_lock = [](fuse_file_lock lock) { return reply(with(fuse_lk_out{.lk = lock})); };
  EXPECT_TRUE(accepts(FUSE_GETLK, with_lock({.start = 1, .end = INT64_MAX, .type = F_WRLCK, .pid = 0})));
  EXPECT_TRUE(accepts(FUSE_GETLK, with_lock({.start = 0, .end = 0, .type = F_UNLCK, .pid = 0})));
  EXPECT_FALSE(accepts(FUSE_GETLK, with_lock({.start = 2, .end = 1, .type = F_WRLCK, .pid = 0})));
  EXPECT_FALSE(accepts(FUSE_GETLK, with_lock({.start = 0, .end = 1ULL << 63, .type = F_WRLCK, .pid = 0})));
  EXPECT_FALSE(accepts(FUSE_GETLK, with_lock({.start = 0, .end = 1, .type = 3, .pid = 0})));
  for (std::uint32_t shared : {0, 1}) EXPECT_TRUE(accepts(FUSE_SETLK, reply(with(LockGranted{shared}))));
  EXPECT_FALSE(accepts(FUSE_SETLK, reply(with(LockGranted{2}))));
  EXPECT_FALSE(accepts(FUSE_SETLK, reply({})));
  EXPECT_TRUE(accepts(FUSE_FLUSH, reply({})));
  EXPECT_FALSE(accepts(FUSE_SETLKW, reply({})));  // never sent
}

TEST(PrepareRequest, WidensOpensForTheWritebackCache) {
  for (auto [flags, wanted] : {std::pair{O_WRONLY, O_RDWR},
                               {O_RDONLY, O_RDONLY},
                               {O_RDWR, O_RDWR},
                               {O_WRONLY | O_TRUNC, O_RDWR | O_TRUNC}}) {
    auto open = make_request(FUSE_OPEN, 5, with(fuse_open_in{.flags = static_cast<std::uint32_t>(flags)}));
    widen_open(open);
    EXPECT_EQ(load<fuse_open_in>(open, sizeof(fuse_in_header)).flags, static_cast<std::uint32_t>(wanted));
  }
  auto mkdir = make_request(FUSE_MKDIR, 1, with(fuse_mkdir_in{.mode = 1}, {"d"}));
  widen_open(mkdir);
  EXPECT_EQ(load<fuse_mkdir_in>(mkdir, sizeof(fuse_in_header)).mode, 1U);
}

TEST(ReplyCheck, OpenFlagsAreOnAList) {
  EXPECT_TRUE(accepts(FUSE_OPEN, reply(with(fuse_open_out{.open_flags = FOPEN_KEEP_CACHE}))));
  for (std::uint32_t flag :
       {static_cast<std::uint32_t>(FOPEN_STREAM), static_cast<std::uint32_t>(FOPEN_NONSEEKABLE),
        1U << 7 /* PASSTHROUGH */, 1U << 31}) {
    EXPECT_FALSE(accepts(FUSE_OPEN, reply(with(fuse_open_out{.open_flags = flag})))) << flag;
  }
}

TEST(ReplyCheck, ListingsHoldProperNames) {
  auto two = dirent("a");
  append(two, dirent("..", 4));
  EXPECT_TRUE(accepts(FUSE_READDIR, reply(two), 4096));
  EXPECT_FALSE(accepts(FUSE_READDIR, reply(two), two.size() - 1));
  for (std::string name :
       {std::string("a/b"), std::string("/"), std::string("a\0b", 3), std::string(), std::string(256, 'x')}) {
    EXPECT_FALSE(accepts(FUSE_READDIR, reply(dirent(name)), 4096)) << name;
  }
  for (std::uint32_t type : {0U, 2U, 6U, 14U})
    EXPECT_FALSE(accepts(FUSE_READDIR, reply(dirent("a", type)), 4096)) << type;
  two.pop_back();
  EXPECT_FALSE(accepts(FUSE_READDIR, reply(two), 4096));
  auto lying = dirent("a");
  store(lying, std::uint32_t{200}, offsetof(fuse_dirent, namelen));
  EXPECT_FALSE(accepts(FUSE_READDIR, reply(lying), 4096));
}

TEST(ReplyCheck, DetailedListingsAreJudgedEntryByEntry) {
  auto detailed = [](fuse_entry_out details) {
    auto out = with(details);
    append(out, dirent("a"));
    return out;
  };
  EXPECT_TRUE(accepts(FUSE_READDIRPLUS, reply(detailed(entry())), 4096));
  auto device = entry();
  device.attr.mode = S_IFBLK;
  EXPECT_FALSE(accepts(FUSE_READDIRPLUS, reply(detailed(device)), 4096));
  auto root_node = entry();
  root_node.nodeid = 1;
  EXPECT_FALSE(accepts(FUSE_READDIRPLUS, reply(detailed(root_node)), 4096));
  device.nodeid = 0;  // without a node nothing of it is used, and nothing is let through
  auto message = reply(detailed(device));
  ASSERT_TRUE(check_reply({.opcode = FUSE_READDIRPLUS, .unique = kUnique, .asked = 4096}, message, kMine)
                  .has_value());
  EXPECT_EQ(load<fuse_entry_out>(message, sizeof(fuse_out_header)).attr.mode, 0U);
}

TEST(ReplyCheck, LinksAndAttributesAreTexts) {
  EXPECT_TRUE(accepts(FUSE_READLINK, reply(to_bytes("target"))));
  EXPECT_FALSE(accepts(FUSE_READLINK, reply({})));
  EXPECT_FALSE(accepts(FUSE_READLINK, reply(Bytes(kMaxSymlink + 1, 'a'))));
  EXPECT_FALSE(accepts(FUSE_READLINK, reply(to_bytes(std::string_view("a\0b", 3)))));
  EXPECT_TRUE(accepts(FUSE_LISTXATTR, reply(name_bytes("user.a")), 100));
  EXPECT_FALSE(accepts(FUSE_LISTXATTR, reply(name_bytes("security.selinux")), 100));
  EXPECT_FALSE(accepts(FUSE_LISTXATTR, reply(to_bytes("user.a")), 100));
  EXPECT_FALSE(accepts(FUSE_GETXATTR, reply(Bytes(8)), 7));
  EXPECT_FALSE(accepts(FUSE_GETXATTR, reply(Bytes(9)), 0));
  EXPECT_FALSE(accepts(FUSE_STATFS, reply(with(fuse_statfs_out{}))));
}

TEST(PrepareRequest, TellsTheEnclaveNothingItNeedNotKnow) {
  auto request = make_request(
      FUSE_SETATTR, 3,
      with(fuse_setattr_in{.valid = FATTR_UID | FATTR_GID | FATTR_MODE, .mode = 0600, .uid = 7, .gid = 8}));
  store(request, std::uint32_t{1000}, offsetof(fuse_in_header, uid));
  store(request, std::uint32_t{1000}, offsetof(fuse_in_header, gid));
  store(request, std::uint32_t{4242}, offsetof(fuse_in_header, pid));
  auto kept = request;
  prepare_request(request, kMine);
  auto header = load<fuse_in_header>(request);
  EXPECT_EQ(header.uid + header.gid + header.pid, 0U);
  auto in = load<fuse_setattr_in>(request, sizeof header);
  EXPECT_EQ(in.valid, static_cast<std::uint32_t>(FATTR_MODE));
  EXPECT_EQ(in.uid + in.gid, 0U);
  prepare_request(kept, {.keep_owners = true});
  EXPECT_EQ(load<fuse_in_header>(kept).uid, 1000U);
  EXPECT_EQ(load<fuse_in_header>(kept).pid, 0U);
  EXPECT_EQ(load<fuse_setattr_in>(kept, sizeof header).uid, 7U);
}

TEST(PrepareRequest, AnswersHereWhatNeedNotTravel) {
  EXPECT_EQ(answered_here(make_request(FUSE_GETXATTR, 1, with(fuse_getxattr_in{}, {"security.capability"}))),
            ENOTSUP);
  EXPECT_EQ(answered_here(make_request(FUSE_GETXATTR, 1, with(fuse_getxattr_in{}, {"user.a"}))), 0);
  EXPECT_EQ(answered_here(make_request(FUSE_GETXATTR, 1, {})), ENOTSUP);
  EXPECT_EQ(answered_here(make_request(FUSE_LOOKUP, 1, name_bytes("a"))), 0);
}

TEST(Notifications, AreFourExactMessages) {
  EXPECT_EQ(check_notification(encode_inval_inode(7)).value(), NotificationKind::inval_inode);
  EXPECT_EQ(check_notification(encode_inval_entry(7, "name")).value(), NotificationKind::inval_entry);
  EXPECT_EQ(check_notification(encode_drop_entry(7, "name")).value(), NotificationKind::drop_entry);
  EXPECT_EQ(decode_fence(encode_fence(9)).value(), 9U);
  for (const auto& good : {encode_inval_inode(7), encode_inval_entry(7, "name"), encode_drop_entry(7, "name"),
                           encode_fence(9)}) {
    for (std::size_t size = 0; size < good.size(); ++size)
      EXPECT_FALSE(check_notification(ByteView(good).first(size)).has_value());
    for (std::int32_t code : std::initializer_list<std::int32_t>{
             FUSE_NOTIFY_POLL, FUSE_NOTIFY_STORE, FUSE_NOTIFY_RETRIEVE, FUSE_NOTIFY_DELETE, 7, 9, -1}) {
      auto other = good;
      store(other, code, offsetof(fuse_out_header, error));
      EXPECT_FALSE(check_notification(other).has_value()) << code;
    }
    auto answering = good;
    store(answering, std::uint64_t{2}, offsetof(fuse_out_header, unique));
    EXPECT_FALSE(check_notification(answering).has_value());
  }
  for (std::string_view name : {"", "..", "a/b"})
    EXPECT_FALSE(check_notification(encode_inval_entry(1, name)).has_value());
  auto expiring = encode_inval_entry(1, "a");
  store(expiring, std::uint32_t{FUSE_EXPIRE_ONLY},
        sizeof(fuse_out_header) + offsetof(fuse_notify_inval_entry_out, flags));
  EXPECT_FALSE(check_notification(expiring).has_value());
  auto inner_nul = encode_inval_entry(1, std::string_view("a\0b", 3));
  EXPECT_FALSE(check_notification(inner_nul).has_value());
  EXPECT_FALSE(decode_fence(encode_inval_inode(7)).has_value());
}

TEST(Init, TakesOnlyWhatIsOnTheList) {
  fuse_init_in in{.major = 7, .minor = 45, .max_readahead = 1U << 30, .flags = ~0U, .flags2 = ~0U};
  auto answer = answer_init(make_request(FUSE_INIT, 0, with(in), 2), {});
  ASSERT_TRUE(answer.has_value());
  ASSERT_EQ(answer->reply.size(), sizeof(fuse_out_header) + sizeof(fuse_init_out));
  auto out = load<fuse_init_out>(answer->reply, sizeof(fuse_out_header));
  std::uint64_t flags = out.flags | std::uint64_t{out.flags2} << 32;
  EXPECT_EQ(out.max_write, kMaxWrite);
  EXPECT_EQ(out.max_readahead, kMaxWrite);
  EXPECT_TRUE(answer->expire_only);
  for (std::uint64_t never : std::initializer_list<std::uint64_t>{
           FUSE_WRITEBACK_CACHE, FUSE_POSIX_ACL, FUSE_CACHE_SYMLINKS, FUSE_MAP_ALIGNMENT, FUSE_SUBMOUNTS,
           FUSE_SECURITY_CTX, FUSE_HAS_INODE_DAX, 1ULL << 37 /* PASSTHROUGH */,
           1ULL << 40 /* ALLOW_IDMAP */}) {
    EXPECT_EQ(flags & never, 0U) << never;
  }
  EXPECT_NE(flags & FUSE_BIG_WRITES, 0U);
}

TEST(Init, KeepsLocksWhereAllSeeThemUnlessNobodyElseLooks) {
  constexpr std::uint64_t kLocks = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
  fuse_init_in in{.major = 7, .minor = 45, .flags = ~0U, .flags2 = ~0U};
  for (bool exclusive : {false, true}) {
    auto answer = answer_init(make_request(FUSE_INIT, 0, with(in), 2), {.exclusive = exclusive}).value();
    auto flags = load<fuse_init_out>(answer.reply, sizeof(fuse_out_header)).flags;
    EXPECT_EQ(flags & kLocks, exclusive ? 0 : kLocks);
    EXPECT_EQ((flags & FUSE_WRITEBACK_CACHE) != 0, exclusive);
  }
}

TEST(Init, OffersNothingThatTheKernelLacks) {
  fuse_init_in in{.major = 7, .minor = 31, .max_readahead = 4096, .flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES};
  auto short_form = with(in);
  short_form.resize(16);
  auto answer = answer_init(make_request(FUSE_INIT, 0, short_form), {}).value();
  auto out = load<fuse_init_out>(answer.reply, sizeof(fuse_out_header));
  EXPECT_EQ(out.flags, static_cast<std::uint32_t>(FUSE_ASYNC_READ | FUSE_BIG_WRITES));
  EXPECT_EQ(out.flags2, 0U);
  EXPECT_FALSE(answer.expire_only);
  in.minor = 27;
  EXPECT_FALSE(answer_init(make_request(FUSE_INIT, 0, with(in)), {}).has_value());
  EXPECT_FALSE(answer_init(make_request(FUSE_LOOKUP, 0, with(in)), {}).has_value());
  EXPECT_FALSE(answer_init(make_request(FUSE_INIT, 0, Bytes(15)), {}).has_value());
}

}  // namespace
}  // namespace cloister::fuse
