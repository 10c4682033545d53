// The worked example of docs/formats/package.md and the packages that must be refused, held against the files
// in tests/data/package. CLOISTER_WRITE_VECTORS=1 writes those files instead.
#include <algorithm>
#include <cstdlib>

#include "codec/cbor.h"
#include "package/tar_support.h"

namespace cloister::package {
namespace {

using test::counting;
using test::must;
using test::TempTree;

bool writing() {
  return std::getenv("CLOISTER_WRITE_VECTORS") != nullptr;
}
std::string path_of(const std::string& name) {
  return std::string(CLOISTER_TEST_DATA) + "/package/" + name;
}
Bytes load(const std::string& name) {
  return must(sys::read_file(path_of(name), std::size_t{4} << 20));
}
void store(const std::string& name, ByteView bytes) {
  must(sys::write_file_atomic(path_of(name), bytes));
}

Secret data_key() {
  return Secret(counting(32, 0));
}

Manifest example_manifest() {
  Manifest manifest;
  manifest.entries = {{.name = "hello.py", .arguments = {{.patterns = {"--name=*"}, .max_count = 1}}}};
  manifest.terms.reads = {"dataset"};
  manifest.terms.limits = {.memory_mib = 256, .processes = 16, .seconds = 60, .package_mib = 1};
  return manifest;
}

Bytes example_tar() {
  return test::archive(
      {test::file_entry(std::string(kManifestPath), as_text(example_manifest().encode()), 0400),
       test::file_entry("hello.py", "print('hello')\n")});
}

Header example_header() {
  Header header;
  header.name = "hello";
  header.release = "1.0";
  header.key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  header.wrapped_keys = {to_bytes("wrapped data key")};
  header.extra_context = {{"project", "blue"}};
  header.commitment = must(commit_to(data_key()));
  header.public_manifest = example_manifest().public_part();
  header.manifest_digest = crypto::sha256(example_manifest().encode());
  must(header.sign(test::fixed_signer(0x40)));
  return header;
}

ByteArray<kStreamHeaderSize> example_stream_header() {
  ByteArray<kStreamHeaderSize> out{kStreamHeaderSize};
  std::ranges::copy(counting(39, 0x80), out.begin() + 1);
  return out;
}

Bytes compressed(ByteView tar) {
  Bytes out;
  Compressor compressor(kDefaultLevel, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  });
  must(compressor.write(tar));
  must(compressor.finish());
  return out;
}

// Any prefix, valid or not, with the content sealed under it.
Bytes seal(Bytes prefix, ByteView plaintext) {
  auto stream_header = example_stream_header();
  auto key = must(derive_stream_key(data_key(), prefix, stream_header));
  append(prefix, stream_header);
  SegmentWriter writer(key, [&](ByteView bytes) {
    append(prefix, bytes);
    return Status{};
  });
  must(writer.write(plaintext));
  must(writer.finish());
  return prefix;
}

Bytes prefix_of(ByteView header) {
  Writer out;
  out.bytes(kMagic).u32(static_cast<std::uint32_t>(header.size())).bytes(header);
  return std::move(out).take();
}

// zstd may compress otherwise in another version, so its output is a file of its own.
Bytes example_plaintext() {
  return load("example.tar.zst");
}

TEST(VectorTest, WorkedExample) {
  if (writing()) {
    store("example.tar.zst", compressed(example_tar()));
    store("example.cloister", seal(encode_prefix(example_header()), example_plaintext()));
  }
  auto package = load("example.cloister");
  EXPECT_TRUE(seal(encode_prefix(example_header()), example_plaintext()) == package);
  TempTree target;
  std::string reason;
  ASSERT_EQ(test::open_package(package, data_key(), target.open(), &reason), "opened") << reason;
  EXPECT_EQ(target.read("hello.py"), "print('hello')\n");
  EXPECT_TRUE(to_bytes(target.read(std::string(kManifestPath))) == example_manifest().encode());
}

// The bytes that the specification prints.
TEST(VectorTest, WorkedExampleInNumbers) {
  auto header = example_header();
  EXPECT_EQ(to_hex(header.commitment), "c51885e8af07853bebb5c690a121564e59ae2468c8e9abdc26d303f11f50050a");
  EXPECT_EQ(to_hex(header.signer_fingerprint()),
            "788de5096f8b530eef97a4015cffb7cfeb260c23795b846bf8112682a93b1101");
  EXPECT_EQ(to_hex(*header.manifest_digest),
            "e4f2b965eb1c168f49cd24f3258cd5afdcb1d9fb424a5b607248db4664cb1dcc");
  EXPECT_EQ(to_hex(header.signature),
            "3e93d709629c39773336de53c77f052616d72cfd95fb1cad6fcd8bafb43ad61028f963686408e9dbaa36bd1a7f1590a9"
            "ae04cab9ff169fea9f69074a5b4ce606");
  auto key = must(derive_stream_key(data_key(), encode_prefix(header), example_stream_header()));
  EXPECT_EQ(to_hex(key.key.view()), "4cb3f0c2801cd1270ef04d846a1d281a62bc1342b33df9789ac47859cba8962e");
}

// A map with one value replaced by another encoded item.
Bytes with_item(const Header& header, std::string_view key, ByteView old_item, ByteView new_item) {
  auto encoded = header.encode();
  codec::CborWriter sought;
  sought.text(key).raw(old_item);
  auto found = std::ranges::search(encoded, sought.view());
  if (found.empty()) throw std::runtime_error("no such item");
  codec::CborWriter put;
  put.text(key).raw(new_item);
  Bytes out(encoded.begin(), found.begin());
  append(out, put.view());
  out.insert(out.end(), found.end(), encoded.end());
  return out;
}

template <class Write>
Bytes item(const Write& write) {
  codec::CborWriter out;
  write(out);
  return std::move(out).take();
}

struct Vector {
  std::string name;
  std::string stage;  // that refuses it
  Bytes bytes;        // empty: whatever the file holds (zstd wrote it)
};

// A header that is signed again after the change.
Bytes resigned(void (*change)(Header&), std::uint8_t signer = 0x40) {
  auto header = example_header();
  change(header);
  must(header.sign(test::fixed_signer(signer)));
  return seal(encode_prefix(header), example_plaintext());
}

std::vector<Vector> header_vectors() {
  auto header = example_header();
  auto sealed = [](ByteView encoded) { return seal(prefix_of(encoded), example_plaintext()); };
  auto text = [](std::string_view value) { return item([&](codec::CborWriter& out) { out.text(value); }); };
  auto number = [](std::uint64_t value) { return item([&](codec::CborWriter& out) { out.uint(value); }); };
  auto unknown = header.encode();
  unknown[0] += 1;
  append(unknown, text("zzzzzzzzzzzz"));
  append(unknown, Bytes{0xf6});
  auto indefinite = header.encode();
  indefinite[0] = 0xbf;
  indefinite.push_back(0xff);
  auto trailing = header.encode();
  trailing.push_back(0);
  auto magic = seal(encode_prefix(header), example_plaintext());
  magic[0] = 0x8d;
  Bytes oversized(kMagic.begin(), kMagic.end());
  append(oversized, Bytes{0, 1, 0, 1});
  oversized.resize(oversized.size() + kMaxHeader + 1);
  return {
      {"magic", "header", magic},
      {"header-too-long", "header", oversized},
      {"header-length-zero", "header", prefix_of({})},
      {"header-trailing-byte", "header", sealed(trailing)},
      {"header-indefinite-map", "header", sealed(indefinite)},
      {"header-unknown-key", "header", sealed(unknown)},
      {"header-version-2", "header", sealed(with_item(header, "v", number(1), number(2)))},
      {"header-long-integer", "header", sealed(with_item(header, "v", number(1), Bytes{0x18, 0x01}))},
      {"context-name", "header", sealed(with_item(header, "cloister:name", text("hello"), text("other")))},
      {"context-release", "header", sealed(with_item(header, "cloister:release", text("1.0"), text("0.9")))},
      {"context-manifest-none", "header",
       sealed(with_item(header, "cloister:manifest", text(to_hex(*header.manifest_digest)), text("none")))},
      {"context-reserved", "header",
       resigned([](Header& h) { h.extra_context = {{"cloister:application", "x"}}; })},
      {"context-reserved-capitals", "header",
       resigned([](Header& h) { h.extra_context = {{"Cloister:Name", "x"}}; })},
      {"name-slash", "header", resigned([](Header& h) { h.name = "a/b"; })},
      {"key-alias", "header",
       resigned([](Header& h) { h.key_arn = "arn:aws:kms:eu-central-1:111122223333:alias/a"; })},
      {"wrapped-none", "header", resigned([](Header& h) { h.wrapped_keys.clear(); })},
      {"wrapped-five", "header", resigned([](Header& h) { h.wrapped_keys.assign(5, Bytes(1)); })},
      {"terms-without-manifest", "header", resigned([](Header& h) { h.manifest_digest.reset(); })},
  };
}

std::vector<Vector> key_vectors() {
  auto package = seal(encode_prefix(example_header()), example_plaintext());
  auto cut = encode_prefix(example_header()).size();
  auto flip = [&](std::size_t at) {
    auto out = package;
    out[at] ^= 1;
    return out;
  };
  auto unsigned_change = example_header();
  unsigned_change.release = "2.0";
  auto forged = example_header();
  must(forged.sign(test::fixed_signer(0x41)));
  auto transplant = encode_prefix(forged);
  append(transplant, ByteView(package).subspan(cut));
  auto shorter = package;
  shorter.pop_back();
  auto longer = package;
  longer.push_back(0);
  auto no_content = package;
  no_content.resize(cut + kStreamHeaderSize);
  return {
      {"signature-missing", "signature", seal(encode_prefix(unsigned_change), example_plaintext())},
      {"commitment", "commitment", resigned([](Header& h) { h.commitment[0] ^= 1; })},
      {"header-of-another-signer", "content", transplant},
      {"stream-header-length", "content", flip(cut)},
      {"stream-header-salt", "content", flip(cut + 1)},
      {"stream-header-nonce", "content", flip(cut + 39)},
      {"content-bit", "content", flip(cut + kStreamHeaderSize)},
      {"content-cut", "content", shorter},
      {"content-appended", "content", longer},
      {"content-missing", "content", no_content},
  };
}

std::vector<Vector> archive_vectors() {
  auto prefix = encode_prefix(example_header());
  auto stored = test::file_entry(std::string(kManifestPath), as_text(example_manifest().encode()), 0400);
  auto with = [&](const Bytes& member) {
    return writing() ? seal(prefix, compressed(test::archive({stored, member}))) : Bytes{};
  };
  auto plain = test::file_entry("f", "");
  auto frame = example_plaintext();
  append(frame, example_plaintext());
  auto setuid = test::patched(plain, 100, "0004755");
  auto device = test::patched(plain, 156, "3");
  auto hard = test::patched(test::patched(plain, 156, "1"), 157, "hello.py");
  auto twice = plain;
  append(twice, plain);
  auto through = test::link_entry("l", ".");
  append(through, test::file_entry("l/x", ""));
  auto other = example_manifest();
  other.entries.clear();
  auto swapped = test::file_entry(std::string(kManifestPath), as_text(other.encode()), 0400);
  return {
      {"zstd-two-frames", "archive", seal(prefix, frame)},
      {"zstd-none", "archive", seal(prefix, example_tar())},
      {"tar-absolute-path", "archive", with(test::file_entry("/f", ""))},
      {"tar-dot-dot", "archive", with(test::file_entry("../f", ""))},
      {"tar-twice", "archive", with(twice)},
      {"tar-device", "archive", with(device)},
      {"tar-hard-link", "archive", with(hard)},
      {"tar-setuid", "archive", with(setuid)},
      {"tar-link-out", "archive", with(test::link_entry("l", "../f"))},
      {"tar-link-absolute", "archive", with(test::link_entry("l", "/etc"))},
      {"tar-through-link", "archive", with(through)},
      {"tar-xattr", "archive", with(test::pax_entry("29 SCHILY.xattr.user.a=value\n"))},
      {"tar-second-manifest", "archive", with(stored)},
      {"tar-larger-than-limit", "archive", with(test::file_entry("f", std::string(1 << 20, 'x')))},
      {"manifest-missing", "manifest",
       writing() ? seal(prefix, compressed(test::archive({plain}))) : Bytes{}},
      {"manifest-other", "manifest",
       writing() ? seal(prefix, compressed(test::archive({swapped}))) : Bytes{}},
  };
}

TEST(VectorTest, RefusedPackagesAreRefusedWhereTheyShould) {
  std::vector<Vector> all;
  for (const auto& some : {header_vectors(), key_vectors(), archive_vectors()})
    all.insert(all.end(), some.begin(), some.end());
  for (const auto& vector : all) {
    auto name = "refused/" + vector.name + ".cloister";
    if (writing()) store(name, vector.bytes);
    auto package = load(name);
    EXPECT_TRUE(vector.bytes.empty() || vector.bytes == package) << vector.name;
    TempTree target;
    std::string reason;
    EXPECT_EQ(test::open_package(package, data_key(), target.open(), &reason), vector.stage)
        << vector.name << ": " << reason;
  }
  auto files = std::filesystem::directory_iterator(path_of("refused"));
  EXPECT_EQ(static_cast<std::size_t>(std::distance(begin(files), end(files))), all.size())
      << "a file that no test knows";
}

}  // namespace
}  // namespace cloister::package
