#include "fuse/request.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "fuse/test_messages.h"

namespace cloister::fuse {
namespace {

Outcome<Body> decode(std::uint32_t opcode, const Bytes& body) {
  auto message = make_request(opcode, 1, body);
  return decode_body(decode_header(message).value(), message);
}
int error_of(std::uint32_t opcode, const Bytes& body) {
  auto decoded = decode(opcode, body);
  return decoded ? 0 : decoded.error().value;
}

TEST(RequestHeader, MustFitItsMessage) {
  auto message = make_request(FUSE_STATFS, 1, {});
  EXPECT_TRUE(decode_header(message).has_value());
  EXPECT_FALSE(decode_header(ByteView(message).first(39)).has_value());
  auto longer = message;
  longer.push_back(0);
  EXPECT_FALSE(decode_header(longer).has_value());
  auto extended = message;
  store(extended, std::uint16_t{1}, offsetof(fuse_in_header, total_extlen));
  EXPECT_FALSE(decode_header(extended).has_value());
}

// One well-formed body for every opcode; the array is what the truncations below are made of.
struct Sample {
  std::uint32_t opcode;
  Bytes body;
};
std::vector<Sample> samples() {
  auto written = with(fuse_write_in{.size = 3});
  append(written, as_bytes("abc"));
  std::uint32_t xattr_head[2] = {3, 0};
  auto xattr = with(xattr_head, {"user.a"});
  append(xattr, as_bytes("abc"));
  auto symlink = name_bytes("l");
  append(symlink, name_bytes("target"));
  auto forgets = with(fuse_batch_forget_in{.count = 2});
  forgets.resize(forgets.size() + 2 * sizeof(fuse_forget_one));
  return {{FUSE_LOOKUP, name_bytes("a")},
          {FUSE_FORGET, with(fuse_forget_in{})},
          {FUSE_BATCH_FORGET, forgets},
          {FUSE_GETATTR, with(fuse_getattr_in{})},
          {kOpStatx, with(StatxIn{})},
          {FUSE_SETATTR, with(fuse_setattr_in{})},
          {FUSE_READLINK, {}},
          {FUSE_SYMLINK, symlink},
          {FUSE_MKNOD, with(fuse_mknod_in{}, {"a"})},
          {FUSE_MKDIR, with(fuse_mkdir_in{}, {"a"})},
          {FUSE_UNLINK, name_bytes("a")},
          {FUSE_RMDIR, name_bytes("a")},
          {FUSE_RENAME, with(fuse_rename_in{}, {"a", "b"})},
          {FUSE_RENAME2, with(fuse_rename2_in{}, {"a", "b"})},
          {FUSE_LINK, with(fuse_link_in{}, {"a"})},
          {FUSE_OPEN, with(fuse_open_in{})},
          {FUSE_CREATE, with(fuse_create_in{}, {"a"})},
          {FUSE_TMPFILE, with(fuse_create_in{}, {"/"})},
          {FUSE_READ, with(fuse_read_in{})},
          {FUSE_WRITE, written},
          {FUSE_STATFS, {}},
          {FUSE_RELEASE, with(fuse_release_in{})},
          {FUSE_FSYNC, with(fuse_fsync_in{})},
          {FUSE_SETXATTR, xattr},
          {FUSE_GETXATTR, with(fuse_getxattr_in{}, {"user.a"})},
          {FUSE_LISTXATTR, with(fuse_getxattr_in{})},
          {FUSE_REMOVEXATTR, name_bytes("user.a")},
          {FUSE_FLUSH, with(fuse_flush_in{})},
          {FUSE_GETLK, with(fuse_lk_in{.lk = {.start = 0, .end = 1, .type = F_WRLCK}})},
          {FUSE_SETLK, with(fuse_lk_in{.lk = {.start = 0, .end = 1, .type = F_UNLCK}})},
          {FUSE_OPENDIR, with(fuse_open_in{})},
          {FUSE_READDIR, with(fuse_read_in{})},
          {FUSE_READDIRPLUS, with(fuse_read_in{})},
          {FUSE_RELEASEDIR, with(fuse_release_in{})},
          {FUSE_FSYNCDIR, with(fuse_fsync_in{})},
          {FUSE_FALLOCATE, with(fuse_fallocate_in{})},
          {FUSE_LSEEK, with(fuse_lseek_in{})},
          {FUSE_COPY_FILE_RANGE, with(fuse_copy_file_range_in{})},
          {FUSE_DESTROY, {}}};
}

TEST(RequestBody, IsExactlyAsLongAsItsOpcodeSays) {
  for (const auto& [opcode, body] : samples()) {
    EXPECT_EQ(error_of(opcode, body), 0) << opcode;
    for (std::size_t size = 0; size < body.size(); ++size) {
      EXPECT_EQ(error_of(opcode, Bytes(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size))), EIO)
          << opcode << " cut to " << size;
    }
    auto longer = body;
    longer.push_back('x');
    EXPECT_EQ(error_of(opcode, longer), EIO) << opcode;
  }
}

TEST(RequestBody, NamesAreOneComponent) {
  for (std::string_view name : {"", ".", "..", "a/b", "/", "../x"}) {
    EXPECT_EQ(error_of(FUSE_LOOKUP, name_bytes(name)), EINVAL) << name;
    EXPECT_EQ(error_of(FUSE_RENAME2, with(fuse_rename2_in{}, {"a", name})), EINVAL) << name;
    EXPECT_EQ(error_of(FUSE_RENAME2, with(fuse_rename2_in{}, {name, "a"})), EINVAL) << name;
    EXPECT_EQ(error_of(FUSE_LINK, with(fuse_link_in{}, {name})), EINVAL) << name;
  }
  EXPECT_EQ(error_of(FUSE_LOOKUP, name_bytes(std::string(256, 'a'))), ENAMETOOLONG);
  EXPECT_EQ(error_of(FUSE_LOOKUP, name_bytes(std::string(255, 'a'))), 0);
}

TEST(RequestBody, SizesAreBounded) {
  EXPECT_EQ(error_of(FUSE_READ, with(fuse_read_in{.size = kMaxWrite + 1})), EINVAL);
  EXPECT_EQ(error_of(FUSE_READDIR, with(fuse_read_in{.size = ~0U})), EINVAL);
  EXPECT_EQ(error_of(FUSE_WRITE, with(fuse_write_in{.size = ~0U})), EINVAL);
  EXPECT_EQ(error_of(FUSE_BATCH_FORGET, with(fuse_batch_forget_in{.count = ~0U})), EIO);
  std::uint32_t head[2] = {kMaxXattrValue + 1, 0};
  EXPECT_EQ(error_of(FUSE_SETXATTR, with(head, {"user.a"})), E2BIG);
  auto link = name_bytes("l");
  append(link, name_bytes(std::string(kMaxSymlink + 1, 'x')));
  EXPECT_EQ(error_of(FUSE_SYMLINK, link), ENAMETOOLONG);
  EXPECT_EQ(std::get<GetXattr>(*decode(FUSE_GETXATTR, with(fuse_getxattr_in{.size = ~0U}, {"user.a"}))).size,
            kMaxXattrValue);
}

TEST(RequestBody, LocksAreRangesOfAKnownType) {
  auto error = [](std::uint32_t opcode, std::uint64_t start, std::uint64_t end, std::uint32_t type,
                  std::uint32_t flags = 0) {
    return error_of(opcode,
                    with(fuse_lk_in{.lk = {.start = start, .end = end, .type = type}, .lk_flags = flags}));
  };
  EXPECT_EQ(error(FUSE_SETLK, 0, INT64_MAX, F_RDLCK), 0);
  EXPECT_EQ(error(FUSE_SETLK, 0, INT64_MAX, F_WRLCK, FUSE_LK_FLOCK), 0);
  EXPECT_EQ(error(FUSE_SETLK, 0, INT64_MAX + 1ULL, F_RDLCK), EINVAL);
  EXPECT_EQ(error(FUSE_SETLK, 2, 1, F_RDLCK), EINVAL);
  EXPECT_EQ(error(FUSE_SETLK, 0, 1, 3), EINVAL);
  EXPECT_EQ(error(FUSE_SETLK, 0, 1, F_RDLCK, 2), EINVAL);
  EXPECT_EQ(error(FUSE_GETLK, 0, 1, F_UNLCK), EINVAL);
  EXPECT_EQ(error(FUSE_GETLK, 0, 1, F_RDLCK, FUSE_LK_FLOCK), EINVAL);
  EXPECT_EQ(error(FUSE_SETLKW, 0, 1, F_RDLCK), ENOSYS);  // the client waits, never the enclave
}

TEST(RequestBody, OnlyUserAttributesExist) {
  for (std::string_view name :
       {"security.capability", "trusted.a", "system.posix_acl_access", "User.a", ""}) {
    EXPECT_EQ(error_of(FUSE_GETXATTR, with(fuse_getxattr_in{.size = 10}, {name})), ENOTSUP) << name;
    EXPECT_EQ(error_of(FUSE_REMOVEXATTR, name_bytes(name)), ENOTSUP) << name;
  }
  EXPECT_EQ(error_of(FUSE_GETXATTR, with(fuse_getxattr_in{.size = 10}, {"user."})), EINVAL);
}

}  // namespace
}  // namespace cloister::fuse
