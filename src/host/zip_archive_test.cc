#include "host/zip_archive.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <zlib.h>

#include <functional>
#include <ostream>

#include "sys/file.h"

namespace cloister::host {
namespace {

constexpr std::uint32_t kFile = 0100644U << 16U;
constexpr std::uint32_t kDirectory = 040755U << 16U;

struct Member {
  std::string name;
  std::string content;
  std::uint32_t attributes = kFile;
  std::uint16_t made_by = 3 << 8;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::string extra;
  // What the tables say, where that is not the truth.
  std::optional<std::uint32_t> crc, packed, size;
  std::optional<std::string> local_name;
  std::optional<std::uint16_t> local_method;
  std::optional<std::uint32_t> local_size, local_at;
  std::string before;  // bytes of no member
  std::string after;   // what follows its data, a descriptor for one
};

void put(std::string& out, std::uint64_t value, int width) {
  for (int i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

std::uint32_t crc_of(const std::string& text) {
  return static_cast<std::uint32_t>(::crc32_z(0, as_bytes(text).data(), text.size()));
}

std::string deflated(const std::string& text) {
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = const_cast<std::uint8_t*>(as_bytes(text).data());
  stream.avail_in = static_cast<unsigned>(text.size());
  stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
  stream.avail_out = static_cast<unsigned>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

Member packed_member(std::string name, const std::string& text) {
  return {.name = std::move(name),
          .content = deflated(text),
          .method = 8,
          .crc = crc_of(text),
          .size = static_cast<std::uint32_t>(text.size())};
}

// Flags, method and time; then what both headers say of sizes.
void put_facts(std::string& out, const Member& member, std::uint16_t method, std::uint32_t size) {
  put(out, member.flags, 2);
  put(out, method, 2);
  put(out, 0x58F55A80, 4);  // 2024-07-21 11:20:00
  put(out, member.crc.value_or(crc_of(member.content)), 4);
  put(out, member.packed.value_or(member.content.size()), 4);
  put(out, size, 4);
}

struct End {
  std::string before, after;  // the end record
  std::optional<std::uint16_t> entries;
};

std::string zip(const std::vector<Member>& members, const End& end = {}) {
  std::string out;
  std::string table;
  for (const auto& member : members) {
    out += member.before;
    auto at = member.local_at.value_or(static_cast<std::uint32_t>(out.size()));
    auto size = member.size.value_or(static_cast<std::uint32_t>(member.content.size()));
    const auto& local_name = member.local_name.value_or(member.name);
    put(out, 0x04034b50, 4);
    put(out, 20, 2);
    put_facts(out, member, member.local_method.value_or(member.method), member.local_size.value_or(size));
    put(out, local_name.size(), 2);
    put(out, 0, 2);
    out += local_name + member.content + member.after;
    put(table, 0x02014b50, 4);
    put(table, member.made_by | 20, 2);
    put(table, 20, 2);
    put_facts(table, member, member.method, size);
    put(table, member.name.size(), 2);
    put(table, member.extra.size(), 2);
    put(table, 0, 2 + 2 + 2);  // comment, disk, text
    put(table, member.attributes, 4);
    put(table, at, 4);
    table += member.name + member.extra;
  }
  auto at = out.size();
  out += table + end.before;
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, end.entries.value_or(static_cast<std::uint16_t>(members.size())), 2);
  put(out, end.entries.value_or(static_cast<std::uint16_t>(members.size())), 2);
  put(out, table.size(), 4);
  put(out, at, 4);
  put(out, 0, 2);
  return out + end.after;
}

Result<ZipArchive> open(const std::string& bytes) {
  sys::Fd file(::memfd_create("zip", MFD_CLOEXEC));
  TRY(sys::write_all(file.get(), as_bytes(bytes), "file"));
  return ZipArchive::open(std::move(file));
}

Result<std::string> content(const ZipArchive& archive, const std::string& path) {
  std::string out;
  TRY(archive.extract(path, [&](ByteView bytes) -> Status {
    out += as_text(bytes);
    return {};
  }));
  return out;
}

// Opens it and unpacks every file: what went wrong.
std::string refusal(const std::string& bytes) {
  auto archive = open(bytes);
  if (!archive) return archive.error().message();
  for (const auto& [path, member] : archive->members()) {
    if (member.type != package::TarType::file) continue;
    auto read = content(*archive, path);
    if (!read) return read.error().message();
  }
  return "";
}

TEST(Zip, ReadsWhatItShould) {
  std::string large;
  for (int i = 0; i < 200'000; ++i) large += std::to_string(i) + '\n';
  auto archive = open(zip({{.name = "run.sh", .content = "#!/bin/sh\n", .attributes = 0100755U << 16U},
                           {.name = "sub/", .attributes = kDirectory},
                           packed_member("sub/large.txt", large),
                           packed_member("implied/empty", ""),
                           {.name = "grö\xC3\x9F"
                                    "e",
                            .content = "x",
                            .flags = 1 << 11},
                           {.name = "windows", .content = "w", .attributes = 0x20, .made_by = 0}}));
  ASSERT_TRUE(archive) << archive.error().message();
  std::vector<std::string> names;
  for (const auto& [path, member] : archive->members()) names.push_back(path);
  EXPECT_EQ(names, (std::vector<std::string>{"grö\xC3\x9F"
                                             "e",
                                             "implied", "implied/empty", "run.sh", "sub", "sub/large.txt",
                                             "windows"}));
  EXPECT_EQ(content(*archive, "sub/large.txt").value(), large);
  EXPECT_EQ(content(*archive, "implied/empty").value(), "");
  const auto& run = archive->members().at("run.sh");
  EXPECT_EQ(run.mode, 0755U);
  EXPECT_EQ(run.mtime, 1'721'560'800U);
  EXPECT_EQ(archive->members().at("windows").mode, 0644U);
  EXPECT_EQ(archive->members().at("implied").mode, 0755U);
}

TEST(Zip, AnEmptyOneIsOne) {
  EXPECT_EQ(refusal(zip({})), "");
}

TEST(Zip, ADescriptorMayFollowTheData) {
  for (bool marked : {false, true}) {
    Member member{.name = "a", .content = "data", .flags = 1 << 3};
    if (marked) put(member.after, 0x08074b50, 4);
    put(member.after, crc_of("data"), 4);
    put(member.after, 4, 4);
    put(member.after, 4, 4);
    EXPECT_EQ(refusal(zip({member, {.name = "b", .content = "x"}})), "");
    member.after[member.after.size() - 1] ^= 1;
    EXPECT_NE(refusal(zip({member, {.name = "b", .content = "x"}})).find("disagrees"), std::string::npos);
  }
}

// The same paths in the order in which package::write_tar() walks a directory.
TEST(Zip, OrderIsThatOfATree) {
  TreeOrder less;
  EXPECT_TRUE(less("a", "a/x"));
  EXPECT_TRUE(less("a/x", "a.txt"));
  EXPECT_TRUE(less("a/x/y", "a/x.y"));
  EXPECT_TRUE(less("a", "\xC3\xA9"));
  EXPECT_FALSE(less("a", "a"));
}

struct Row {
  std::string bytes;
  std::string_view why;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.why;
}

const Member kPlain{.name = "plain", .content = "text"};

Member named(std::string name) {
  return {.name = std::move(name), .content = "x"};
}
Member with(const std::function<void(Member&)>& change) {
  auto member = kPlain;
  change(member);
  return member;
}
// The plain archive with one byte of it changed.
std::string patched(std::size_t at, char byte) {
  auto bytes = zip({kPlain});
  bytes[at] = byte;
  return bytes;
}

class Refused : public ::testing::TestWithParam<Row> {};

TEST_P(Refused, ByName) {
  auto why = refusal(GetParam().bytes);
  EXPECT_NE(why.find(GetParam().why), std::string::npos)
      << "'" << why << "' lacks '" << GetParam().why << "'";
  EXPECT_EQ(why.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Names, Refused,
    ::testing::Values(
        Row{zip({named("../evil")}), "'..' is not a name"},
        Row{zip({named("a/../../evil")}), "'..' is not a name"},
        Row{zip({named("..")}), "'..' is not a name"}, Row{zip({named("./a")}), "'.' is not a name"},
        Row{zip({named("/etc/passwd")}), "absolute"}, Row{zip({named("a//b")}), "a name of 0 bytes"},
        Row{zip({named("")}), "a name of 0 bytes"}, Row{zip({named("a\\b")}), "backslash"},
        Row{zip({named(std::string("a\0b", 3))}), "NUL"},
        Row{zip({named(std::string(256, 'a'))}), "256 bytes"}, Row{zip({named("caf\x82")}), "not UTF-8"},
        Row{zip({with([](auto& m) { m.name = "caf\x82", m.flags = 1 << 11; })}), "not UTF-8"},
        Row{zip({named(".cloister/manifest")}), "reserve"},
        Row{zip({named("a"), named("a")}), "'a' is there twice"},
        Row{zip({named("a"), {.name = "a/", .attributes = kDirectory}}), "'a' is there twice"},
        Row{zip({named("a"), named("a/b")}), "'a' is a file, and 'a/b' is below it"}));

INSTANTIATE_TEST_SUITE_P(
    Types, Refused,
    ::testing::Values(
        Row{zip({with([](auto& m) { m.attributes = 0120777U << 16U; })}), "'plain' is a link"},
        Row{zip({with([](auto& m) { m.attributes = 020666U << 16U; })}), "a device"},
        Row{zip({with([](auto& m) { m.attributes = 060666U << 16U; })}), "a device"},
        Row{zip({with([](auto& m) { m.attributes = 010666U << 16U; })}), "a fifo"},
        Row{zip({with([](auto& m) { m.attributes = kDirectory; })}), "not both"},
        Row{zip({{.name = "a/", .attributes = kFile}}), "not both"},
        Row{zip({{.name = "a/", .content = "x", .attributes = kDirectory}}), "a directory with content"},
        Row{zip({with([](auto& m) { m.flags = 1; })}), "encrypted"},
        Row{zip({with([](auto& m) { m.flags = 1 << 6 | 1; })}), "encrypted"},
        Row{zip({with([](auto& m) { m.flags = 1 << 13; })}), "unknown flags 0x2000"},
        Row{zip({with([](auto& m) { m.method = 12; })}), "compression method 12"},
        Row{zip({with([](auto& m) { m.method = 99; })}), "compression method 99"},
        Row{zip({with([](auto& m) { m.extra = std::string("\x01\x00\x00\x00", 4); })}), "zip64"},
        Row{zip({with([](auto& m) { m.extra = std::string("\x55\x54\x05\x00", 4); })}), "malformed extra"}));

INSTANTIATE_TEST_SUITE_P(
    Layout, Refused,
    ::testing::Values(
        Row{"", "shorter than"}, Row{std::string(100, 'x'), "no end of its directory"},
        Row{zip({kPlain}, {.after = "garbage"}), "something after it"},
        Row{zip({kPlain}, {.after = zip({})}), "not where its end says"},
        Row{zip({kPlain}, {.before = "garbage"}), "not where its end says"},
        Row{zip({kPlain}, {.entries = std::uint16_t{0xffff}}), "zip64"},
        Row{zip({kPlain}, {.entries = std::uint16_t{2}}), "directory is cut"},
        Row{zip({kPlain, named("b")}, {.entries = std::uint16_t{1}}), "more in its directory"},
        Row{zip({with([](auto& m) { m.before = "MZ stub"; })}), "7 bytes before 'plain'"},
        Row{zip({named("a"), with([](auto& m) { m.before = "gap"; })}), "3 bytes before 'plain'"},
        Row{zip({with([](auto& m) { m.after = "tail"; })}), "4 bytes that belong to no member"},
        Row{zip({kPlain, with([](auto& m) { m.name = "other", m.local_at = 0; })}),
            "overlaps another member"},
        Row{zip({with([](auto& m) {
              m.packed = 1000;
              m.size = 1000;
            })}),
            "reaches into the directory"},
        Row{zip({with([](auto& m) { m.local_name = "other"; })}), "disagrees with the directory"},
        Row{zip({with([](auto& m) { m.local_method = 8; })}), "disagrees with the directory"},
        Row{zip({with([](auto& m) { m.local_size = 5; })}), "disagrees with the directory"},
        Row{zip({with([](auto& m) { m.local_size = 0; })}), "disagrees with the directory"},
        Row{patched(0, 'Q'), "disagrees with the directory"}, Row{patched(39, 'Q'), "directory is damaged"}));

// Unpacks to less, to more, or to something else than it says.
INSTANTIATE_TEST_SUITE_P(Content, Refused,
                         ::testing::Values(Row{zip({with([](auto& m) { m.crc = 1; })}), "content is damaged"},
                                           Row{zip({with([](auto& m) { m.size = 3; })}), "of two sizes"},
                                           Row{zip({[] {
                                                 auto m = packed_member("a", "text");
                                                 m.size = 3;
                                                 return m;
                                               }()}),
                                               "content is damaged"},
                                           Row{zip({[] {
                                                 auto m = packed_member("a", "text");
                                                 m.size = 5;
                                                 return m;
                                               }()}),
                                               "content is damaged"},
                                           Row{zip({[] {
                                                 auto m = packed_member("a", "text");
                                                 m.content += "x";
                                                 return m;
                                               }()}),
                                               "content is damaged"},
                                           Row{zip({[] {
                                                 auto m = packed_member("a", "text");
                                                 m.content.pop_back();
                                                 return m;
                                               }()}),
                                               "content is damaged"},
                                           Row{zip({[] {
                                                 auto m = packed_member("a", "text");
                                                 m.content[0] = '\x07';
                                                 return m;
                                               }()}),
                                               "content is damaged"},
                                           Row{zip({[] {
                                                 auto m = packed_member("a", "x");
                                                 m.size = 300U << 20U;
                                                 return m;
                                               }()}),
                                               "more than 200 for one"},
                                           Row{zip(std::vector<Member>(5,
                                                                       [] {
                                                                         auto m = packed_member("a", "x");
                                                                         m.size = 0xfffffffeU;
                                                                         return m;
                                                                       }())),
                                               "17179869184 at most"}));

}  // namespace
}  // namespace cloister::host
