#include "package/pack.h"

#include "package/tar_support.h"

namespace cloister::package {
namespace {

using test::counting;
using test::FixedKeySource;
using test::must;
using test::open_package;
using test::TempTree;
using test::why;

Manifest strict_manifest() {
  Manifest manifest;
  manifest.entries = {{.name = "hello.py", .arguments = {{.patterns = {"--name=*"}}}}};
  manifest.terms.limits.memory_mib = 256;
  return manifest;
}

Secret data_key() {
  return Secret(counting(32, 0));
}

class PackTest : public testing::Test {
 protected:
  PackTest() { source_.write("hello.py", "print('hello')\n"); }

  Result<Bytes> pack(const PackOptions& options) {
    auto out = test::memory_file();
    TRY(write_package(source_.open(), options, keys_, test::fixed_signer(1), out.get()));
    return test::contents(out);
  }
  static PackOptions options() { return {.name = "hello", .release = "1"}; }
  Bytes package() { return must(pack(options())); }
  static std::string opened(ByteView package, std::string* reason = nullptr) {
    TempTree target;
    return open_package(package, data_key(), target.open(), reason);
  }

  TempTree source_;
  FixedKeySource keys_;
};

TEST_F(PackTest, OpensAgain) {
  source_.write("model/weights.bin", std::string(3'000'000, 'w'));
  auto with_manifest = options();
  with_manifest.manifest = strict_manifest();
  with_manifest.extra_context = {{"project", "blue"}};
  auto package = must(pack(with_manifest));
  TempTree target;
  auto directory = target.open();
  std::string reason;
  ASSERT_EQ(open_package(package, data_key(), directory, &reason), "opened") << reason;
  EXPECT_EQ(target.read("hello.py"), "print('hello')\n");
  EXPECT_EQ(target.read("model/weights.bin"), std::string(3'000'000, 'w'));
  auto file = test::memory_file(package);
  auto start = must(read_start(file.get()));
  EXPECT_EQ(must(load_manifest(directory, start.header)), strict_manifest());
  EXPECT_EQ(start.header.encryption_context(), keys_.context);
  EXPECT_EQ(start.header.encryption_context()["project"], "blue");
  EXPECT_EQ(keys_.calls, 1);
}

TEST_F(PackTest, WithoutAManifestTheDefaultsHold) {
  auto file = test::memory_file(package());
  auto start = must(read_start(file.get()));
  EXPECT_FALSE(start.header.manifest_digest);
  TempTree empty;
  EXPECT_EQ(must(load_manifest(empty.open(), start.header)), Manifest{});
}

TEST_F(PackTest, EmptyTreesCanBePacked) {
  std::filesystem::remove(source_ / "hello.py");
  EXPECT_EQ(opened(package()), "opened");
}

TEST_F(PackTest, EverySingleFlippedBitIsRefused) {
  auto package = this->package();
  TempTree target;
  auto directory = target.open();
  for (std::size_t bit = 0; bit < package.size() * 8; ++bit) {
    auto flipped = package;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    ASSERT_NE(open_package(flipped, data_key(), directory), "opened") << "bit " << bit;
  }
  EXPECT_EQ(target.count(), 0U);
}

TEST_F(PackTest, EveryTruncationAndAppendedBytesAreRefused) {
  auto package = this->package();
  TempTree target;
  auto directory = target.open();
  for (std::size_t size = 0; size < package.size(); ++size) {
    ASSERT_NE(open_package(ByteView(package).first(size), data_key(), directory), "opened") << size;
  }
  EXPECT_EQ(target.count(), 0U);
  for (const auto& tail : {Bytes{0}, Bytes(16), Bytes(4096), package}) {
    auto longer = package;
    append(longer, tail);
    EXPECT_EQ(opened(longer), "content");
  }
}

TEST_F(PackTest, AnotherKeyIsRefusedBeforeItIsUsed) {
  auto package = this->package();
  TempTree target;
  EXPECT_EQ(open_package(package, Secret(counting(32, 1)), target.open()), "commitment");
  EXPECT_EQ(open_package(package, Secret(std::size_t{16}), target.open()), "commitment");
}

// The owner's content under an attacker's header: other name, other terms, the attacker's signature.
TEST_F(PackTest, SubstitutedHeadersAreRefused) {
  auto package = this->package();
  auto file = test::memory_file(package);
  auto header = must(read_start(file.get())).header;
  auto content = ByteView(package).subspan(encode_prefix(header).size());
  auto with_header = [&](const Header& changed) {
    auto out = encode_prefix(changed);
    append(out, content);
    return out;
  };
  ASSERT_EQ(opened(with_header(header)), "opened");

  auto unsigned_change = header;
  unsigned_change.release = "2";
  EXPECT_EQ(opened(with_header(unsigned_change)), "signature");

  auto resigned = header;
  resigned.release = "2";
  ASSERT_OK(resigned.sign(test::fixed_signer(9)));
  EXPECT_EQ(opened(with_header(resigned)), "content");

  auto other_key = header;
  other_key.commitment = must(commit_to(Secret(counting(32, 5))));
  ASSERT_OK(other_key.sign(test::fixed_signer(9)));
  EXPECT_EQ(opened(with_header(other_key)), "commitment");
}

// Two packages of one owner under one data key: their contents cannot change places.
TEST_F(PackTest, SubstitutedContentsAreRefused) {
  auto one = package();
  source_.write("hello.py", "print('other')\n");
  auto two = package();
  auto file = test::memory_file(one);
  auto cut = encode_prefix(must(read_start(file.get())).header).size();
  // The same header: then either content is the owner's own, and opens.
  Bytes same(one.begin(), one.begin() + static_cast<std::ptrdiff_t>(cut));
  append(same, ByteView(two).subspan(cut));
  EXPECT_EQ(opened(same), "opened");
  // Another release is another header.
  auto next = options();
  next.release = "2";
  auto three = must(pack(next));
  Bytes mixed(one.begin(), one.begin() + static_cast<std::ptrdiff_t>(cut));
  append(mixed, ByteView(three).subspan(cut));
  EXPECT_EQ(opened(mixed), "content");
}

TEST_F(PackTest, RefusesBeforeAskingForAKey) {
  auto refused = [&](const PackOptions& changed, std::string_view reason) {
    auto result = pack(changed);
    EXPECT_NE(why(result).find(reason), std::string::npos) << why(result);
  };
  auto changed = options();
  changed.name = "a b";
  refused(changed, "name");
  changed = options();
  changed.release = "";
  refused(changed, "release");
  changed = options();
  changed.compression_level = 22;
  refused(changed, "compression level");
  changed = options();
  changed.extra_context = {{"cloister:signer", "me"}};
  refused(changed, "reserved");
  changed = options();
  changed.manifest = strict_manifest();
  changed.manifest->terms.limits.seconds = 0;
  refused(changed, "seconds");
  changed = options();
  changed.manifest = strict_manifest();
  changed.manifest->terms.limits.package_mib = 1;
  source_.write("big", std::string(2'000'000, 'x'));
  refused(changed, "package_mib");
  std::filesystem::create_symlink("/etc", source_ / "link");
  refused(options(), "link");
  EXPECT_EQ(keys_.calls, 0);
}

TEST_F(PackTest, BadAnswersOfTheKeySourceAreRefused) {
  class Short final : public DataKeySource {
    Result<DataKey> generate(const EncryptionContext&) override {
      return DataKey{.plaintext = Secret(std::size_t{16}),
                     .wrapped = Bytes(1),
                     .key_arn = "arn:aws:kms:eu-central-1:111122223333:key/1"};
    }
  } short_key;
  class Alias final : public DataKeySource {
    Result<DataKey> generate(const EncryptionContext&) override {
      return DataKey{.plaintext = Secret(std::size_t{32}), .wrapped = Bytes(1), .key_arn = "alias/mine"};
    }
  } alias;
  for (DataKeySource* source :
       {static_cast<DataKeySource*>(&short_key), static_cast<DataKeySource*>(&alias)}) {
    auto out = test::memory_file();
    EXPECT_FALSE(write_package(source_.open(), options(), *source, test::fixed_signer(1), out.get()));
    EXPECT_TRUE(test::contents(out).empty());
  }
}

TEST_F(PackTest, ProgressEndsAtTheTotal) {
  source_.write("big", std::string(1'000'000, 'x'));
  auto watched = options();
  PackProgress last;
  std::uint64_t before = 0;
  watched.progress = [&](const PackProgress& progress) {
    EXPECT_GE(progress.done, before);
    before = progress.done;
    last = progress;
  };
  ASSERT_OK(pack(watched));
  EXPECT_EQ(last.done, 1'000'015U);
  EXPECT_EQ(last.total, 1'000'015U);
}

// Packages whose owner is hostile to the enclave: well-formed segments, and whatever plaintext inside.
Bytes package_of(ByteView plaintext, const std::optional<Manifest>& manifest = {},
                 const PublicManifest* shown = nullptr) {
  Header header;
  header.name = "hostile";
  header.release = "1";
  auto key = must(FixedKeySource().generate({}));
  header.key_arn = key.key_arn;
  header.wrapped_keys = {key.wrapped};
  header.commitment = must(commit_to(key.plaintext));
  if (manifest) header.manifest_digest = crypto::sha256(manifest->encode());
  if (manifest) header.public_manifest = manifest->public_part();
  if (shown != nullptr) header.public_manifest = *shown;
  must(header.sign(test::fixed_signer(1)));
  auto out = encode_prefix(header);
  auto stream_header = make_stream_header();
  auto stream_key = must(derive_stream_key(key.plaintext, out, stream_header));
  append(out, stream_header);
  SegmentWriter writer(stream_key, [&](ByteView bytes) {
    append(out, bytes);
    return Status{};
  });
  must(writer.write(plaintext));
  must(writer.finish());
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

TEST(HostileContentTest, OnlyOneWholeZstdFrameIsTaken) {
  auto good = compressed(test::archive({test::file_entry("f", "x")}));
  TempTree target;
  ASSERT_EQ(open_package(package_of(good), data_key(), target.open()), "opened");
  auto refused = [](ByteView plaintext, std::string_view reason) {
    TempTree other;
    std::string why;
    EXPECT_EQ(open_package(package_of(plaintext), data_key(), other.open(), &why), "archive") << reason;
    EXPECT_NE(why.find(reason), std::string::npos) << why;
  };
  refused({}, "ends too early");
  refused(as_bytes("(\xb5/"), "ends too early");
  refused(ByteView(good).first(good.size() - 1), "ends too early");
  refused(test::archive({test::file_entry("f", "x")}), "not a zstd frame");
  auto twice = good;
  append(twice, good);
  refused(twice, "after the end");
  auto trailing = good;
  trailing.push_back(0);
  refused(trailing, "after the end");
  Bytes skippable{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
  auto after = good;
  append(after, skippable);
  refused(after, "after the end");
  append(skippable, good);
  refused(skippable, "not a zstd frame");
  refused(Bytes{0x25, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0, 0}, "not a zstd frame");  // version 0.5
  refused(Bytes{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x00, 0x00}, "zstd");        // a window of 2^30 bytes
  refused(Bytes{0x28, 0xb5, 0x2f, 0xfd, 0x21, 0x07, 0x01, 0x01, 0x00, 0x00}, "zstd");  // a dictionary
}

TEST(HostileContentTest, BombsEndAtTheLimit) {
  Manifest manifest;
  manifest.terms.limits.package_mib = 1;
  auto stored = test::file_entry(std::string(kManifestPath), as_text(manifest.encode()), 0400);
  auto bomb = compressed(test::archive({stored, test::file_entry("f", std::string(64 << 20, '\0'))}));
  EXPECT_LT(bomb.size(), 100'000U);
  TempTree target;
  std::string reason;
  EXPECT_EQ(open_package(package_of(bomb, manifest), data_key(), target.open(), &reason), "archive");
  EXPECT_NE(reason.find("more than 1048576 bytes"), std::string::npos) << reason;
  // After the end there is no room for one either.
  auto trailer = test::archive({stored});
  trailer.resize(64 << 20);
  TempTree other;
  EXPECT_EQ(open_package(package_of(compressed(trailer), manifest), data_key(), other.open(), &reason),
            "archive");
  EXPECT_NE(reason.find("after the end"), std::string::npos) << reason;
}

TEST(HostileContentTest, ManifestMustBeTheOneThatTheHeaderSays) {
  auto manifest = strict_manifest();
  auto stored = test::file_entry(std::string(kManifestPath), as_text(manifest.encode()), 0400);
  auto other = manifest;
  other.entries[0].arguments.reset();
  auto stored_other = test::file_entry(std::string(kManifestPath), as_text(other.encode()), 0400);
  auto f = test::file_entry("f", "x");
  auto stage = [](const Bytes& tar, const std::optional<Manifest>& said, const PublicManifest* shown,
                  std::string* reason) {
    TempTree target;
    return open_package(package_of(compressed(tar), said, shown), data_key(), target.open(), reason);
  };
  std::string reason;
  EXPECT_EQ(stage(test::archive({stored, f}), manifest, nullptr, &reason), "opened") << reason;
  EXPECT_EQ(stage(test::archive({f}), manifest, nullptr, &reason), "manifest");
  EXPECT_EQ(stage(test::archive({stored, f}), {}, nullptr, &reason), "manifest");
  EXPECT_NE(reason.find("denies"), std::string::npos) << reason;
  EXPECT_EQ(stage(test::archive({stored_other, f}), manifest, nullptr, &reason), "manifest");
  EXPECT_NE(reason.find("not the one"), std::string::npos) << reason;
  // The user saw other terms than those that the manifest holds.
  PublicManifest harmless;
  EXPECT_EQ(stage(test::archive({stored, f}), manifest, &harmless, &reason), "manifest");
  EXPECT_NE(reason.find("contradicts"), std::string::npos) << reason;
}

TEST(UnpackStreamTest, ReadsAPipe) {
  auto good = compressed(test::archive({test::file_entry("f", "x")}));
  auto pipe = must(sys::make_pipe());
  must(sys::write_all(pipe.write.get(), good, "pipe"));
  pipe.write.reset();
  TempTree target;
  auto done = must(unpack_stream(pipe.read.get(), target.open(), {}));
  EXPECT_EQ(done.entries, 1U);
  EXPECT_EQ(target.read("f"), "x");
}

TEST(UnpackStreamTest, AWriterThatDiesIsAnError) {
  auto good = compressed(test::archive({test::file_entry("f", "x")}));
  for (std::size_t size = 0; size < good.size(); ++size) {
    auto file = test::memory_file(ByteView(good).first(size));
    TempTree target;
    EXPECT_FALSE(unpack_stream(file.get(), target.open(), {})) << size;
  }
}

}  // namespace
}  // namespace cloister::package
