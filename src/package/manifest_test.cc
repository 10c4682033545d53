#include "package/manifest.h"

#include "codec/cbor.h"
#include "package/test_support.h"

namespace cloister::package {
namespace {

using test::must;
using test::why;

Manifest full() {
  Manifest manifest;
  manifest.terms.reads = {"dataset", "model"};
  manifest.terms.writes = {"output", "checkpoints"};
  manifest.terms.stderr_to = Audience::caller;
  manifest.terms.limits = {.memory_mib = 512, .processes = 8, .seconds = 60, .package_mib = 100};
  manifest.terms.egress = {{.host = "api.example.org", .port = 443}};
  manifest.terms.diagnostics = true;
  manifest.terms.owner_key = ByteArray<32>{1, 2, 3};
  manifest.entries = {{.name = "train.py", .arguments = {{.patterns = {"--epochs=*"}, .max_count = 3}}},
                      {.name = "bin/score"}};
  manifest.environment = {{"LD_LIBRARY_PATH", "/app/lib"}, {"OMP_NUM_THREADS", "2"}, {"_", ""}};
  return manifest;
}

TEST(ManifestTest, DefaultsAreTheSafeOnes) {
  Manifest manifest;
  EXPECT_EQ(manifest.terms.stderr_to, Audience::none);
  EXPECT_TRUE(manifest.terms.egress.empty());
  EXPECT_FALSE(manifest.terms.diagnostics);
  EXPECT_EQ(manifest.terms.writes, std::vector<std::string>{"output"});
  ASSERT_OK(manifest.check());
  EXPECT_EQ(must(Manifest::parse(manifest.encode())), manifest);
}

TEST(ManifestTest, BothPartsComeBackAsTheyWere) {
  auto manifest = full();
  ASSERT_OK(manifest.check());
  EXPECT_EQ(must(Manifest::parse(manifest.encode())), manifest);
  auto shown = manifest.public_part();
  EXPECT_EQ(must(PublicManifest::parse(shown.encode())), shown);
  EXPECT_EQ(shown.terms, manifest.terms);
}

TEST(ManifestTest, PublicPartNamesEntriesOnlyWithLeaveAndNeverTheirArguments) {
  auto manifest = full();
  EXPECT_EQ(manifest.public_part().entries, (std::vector<std::string>{"train.py", "bin/score"}));
  EXPECT_EQ(as_text(manifest.public_part().encode()).find("epochs"), std::string_view::npos);
  manifest.entries_public = false;
  EXPECT_FALSE(manifest.public_part().entries.has_value());
  auto encoded = manifest.public_part().encode();
  EXPECT_EQ(as_text(encoded).find("train"), std::string_view::npos);
}

TEST(ManifestTest, TheEnvironmentIsNeverPublic) {
  auto encoded = full().public_part().encode();
  EXPECT_EQ(as_text(encoded).find("LD_LIBRARY_PATH"), std::string_view::npos);
  EXPECT_EQ(as_text(encoded).find("environment"), std::string_view::npos);
}

TEST(ManifestTest, TheApplicationsEnvironmentIsCloistersAndTheOwners) {
  using Variables = std::vector<std::string>;
  EXPECT_EQ(Manifest{}.job_environment(),
            (Variables{"HOME=/tmp", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=/tmp",
                       "USER=job"}));
  Manifest manifest;
  manifest.environment = {{"A", "b=c"}, {"PATH", "/app/bin:/app/tools"}};
  ASSERT_OK(manifest.check());
  EXPECT_EQ(manifest.job_environment(),
            (Variables{"A=b=c", "HOME=/tmp", "LANG=C.UTF-8",
                       "PATH=/app/bin:/app/tools:/usr/local/bin:/usr/bin:/bin", "TMPDIR=/tmp", "USER=job"}));
  // The image's variables are between the two.
  EXPECT_EQ(manifest.job_environment({{"A", "of the image"}, {"LANG", "C"}, {"PATH", "/usr/bin"}, {"Z", ""}}),
            (Variables{"A=b=c", "HOME=/tmp", "LANG=C", "PATH=/app/bin:/app/tools:/usr/bin", "TMPDIR=/tmp",
                       "USER=job", "Z="}));
}

TEST(ManifestTest, VariablesHaveOneOrder) {
  Manifest manifest;
  manifest.environment = {{"BB", "x"}, {"A", "y"}};
  auto text = std::string(as_text(manifest.encode()));
  std::string ordered =
      "\x61"
      "Aay\x62"
      "BBax";  // the shorter name first
  auto at = text.find(ordered);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, ordered.size(),
               "\x62"
               "BBax\x61"
               "Aay");
  EXPECT_FALSE(Manifest::parse(as_bytes(text)));
  text.replace(at, ordered.size(), ordered);
  EXPECT_TRUE(Manifest::parse(as_bytes(text)));
}

TEST(ManifestTest, EveryFlippedBitIsRefusedOrSaysSomethingElse) {
  auto encoded = full().encode();
  for (std::size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    auto flipped = encoded;
    flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    auto parsed = Manifest::parse(flipped);
    EXPECT_TRUE(!parsed || parsed->encode() == flipped) << "bit " << bit << ": two encodings of one manifest";
  }
}

TEST(ManifestTest, EveryTruncationAndTrailingByteIsRefused) {
  for (const auto& encoded : {full().encode(), full().public_part().encode()}) {
    for (std::size_t size = 0; size < encoded.size(); ++size) {
      EXPECT_FALSE(Manifest::parse(ByteView(encoded).first(size)));
      EXPECT_FALSE(PublicManifest::parse(ByteView(encoded).first(size)));
    }
    auto longer = encoded;
    longer.push_back(0);
    EXPECT_FALSE(Manifest::parse(longer));
    EXPECT_FALSE(PublicManifest::parse(longer));
  }
}

TEST(ManifestTest, OnePartIsNotTheOther) {
  EXPECT_FALSE(PublicManifest::parse(full().encode()));
  EXPECT_FALSE(Manifest::parse(full().public_part().encode()));
}

// One change each that check() and, encoded, parse() must refuse.
class ManifestRefusal : public testing::TestWithParam<std::pair<const char*, void (*)(Manifest&)>> {};

TEST_P(ManifestRefusal, ByCheckAndParse) {
  auto manifest = full();
  GetParam().second(manifest);
  EXPECT_FALSE(manifest.check());
  EXPECT_FALSE(Manifest::parse(manifest.encode()));
}

INSTANTIATE_TEST_SUITE_P(
    All, ManifestRefusal,
    testing::Values(
        std::pair(
            "absolute entry", +[](Manifest& m) { m.entries[0].name = "/bin/sh"; }),
        std::pair(
            "entry with ..", +[](Manifest& m) { m.entries[0].name = "a/../../b"; }),
        std::pair(
            "empty entry", +[](Manifest& m) { m.entries[0].name = ""; }),
        std::pair(
            "entry twice", +[](Manifest& m) { m.entries[1].name = "train.py"; }),
        std::pair(
            "too many entries",
            +[](Manifest& m) {
              for (int i = 0; i < 65; ++i) m.entries.push_back({.name = std::to_string(i)});
            }),
        std::pair(
            "read of a path", +[](Manifest& m) { m.terms.reads = {"a/b"}; }),
        std::pair(
            "read of ..", +[](Manifest& m) { m.terms.reads = {".."}; }),
        std::pair(
            "read of packages", +[](Manifest& m) { m.terms.reads = {"encrypted"}; }),
        std::pair(
            "write to packages", +[](Manifest& m) { m.terms.writes = {"encrypted"}; }),
        std::pair(
            "write twice", +[](Manifest& m) { m.terms.writes = {"output", "output"}; }),
        std::pair(
            "no memory", +[](Manifest& m) { m.terms.limits.memory_mib = 0; }),
        std::pair(
            "no processes", +[](Manifest& m) { m.terms.limits.processes = 0; }),
        std::pair(
            "too long", +[](Manifest& m) { m.terms.limits.seconds = kMaxSeconds + 1; }),
        std::pair(
            "package too large", +[](Manifest& m) { m.terms.limits.package_mib = kMaxPackageMib + 1; }),
        std::pair(
            "diagnostics for nobody", +[](Manifest& m) { m.terms.owner_key.reset(); }),
        std::pair(
            "host in capitals", +[](Manifest& m) { m.terms.egress[0].host = "API.example.org"; }),
        std::pair(
            "host with a slash", +[](Manifest& m) { m.terms.egress[0].host = "a/b"; }),
        std::pair(
            "port 0", +[](Manifest& m) { m.terms.egress[0].port = 0; }),
        std::pair(
            "destination twice", +[](Manifest& m) { m.terms.egress.push_back(m.terms.egress[0]); }),
        std::pair(
            "long pattern",
            +[](Manifest& m) { m.entries[0].arguments->patterns[0] = std::string(257, 'a'); }),
        std::pair(
            "too many variables",
            +[](Manifest& m) {
              for (int i = 0; i < 62; ++i) m.environment[fmt::format("V{}", i)] = "";
            }),
        std::pair(
            "variable without a name", +[](Manifest& m) { m.environment[""] = "x"; }),
        std::pair(
            "variable's name with =", +[](Manifest& m) { m.environment["A=B"] = "x"; }),
        std::pair(
            "variable's name with a digit first", +[](Manifest& m) { m.environment["1A"] = "x"; }),
        std::pair(
            "variable's name with a letter beyond ASCII",
            +[](Manifest& m) { m.environment["\xc3\xa9"] = "x"; }),
        std::pair(
            "variable's name with NUL", +[](Manifest& m) { m.environment[std::string("A\0B", 3)] = "x"; }),
        std::pair(
            "long variable's name", +[](Manifest& m) { m.environment[std::string(65, 'A')] = "x"; }),
        std::pair(
            "variable of Cloister's", +[](Manifest& m) { m.environment["USER"] = "root"; }),
        std::pair(
            "variable with NUL", +[](Manifest& m) { m.environment["A"] = std::string("a\0b", 3); }),
        std::pair(
            "long variable", +[](Manifest& m) { m.environment["A"] = std::string(4097, 'a'); }),
        std::pair(
            "variable not UTF-8", +[](Manifest& m) { m.environment["A"] = "\xff"; }),
        std::pair(
            "empty PATH", +[](Manifest& m) { m.environment["PATH"] = ""; }),
        std::pair(
            "PATH with the working directory", +[](Manifest& m) { m.environment["PATH"] = "/app/bin:"; }),
        std::pair(
            "relative PATH", +[](Manifest& m) { m.environment["PATH"] = "/app/bin:tools"; }),
        std::pair("not UTF-8", +[](Manifest& m) { m.entries[0].arguments->patterns[0] = "\xff"; })));

TEST(ManifestTest, UnknownKeysAreRefused) {
  auto encoded = PublicManifest{}.encode();
  ASSERT_EQ(encoded[0], 0xaa);  // ten entries
  encoded[0] = 0xab;
  // "zzzzzzzzzzzzz" sorts last: 13 bytes, longer than any other key.
  codec::CborWriter extra;
  extra.text("zzzzzzzzzzzzz").boolean(true);
  append(encoded, extra.view());
  EXPECT_FALSE(PublicManifest::parse(encoded));
}

TEST(ManifestTest, DestinationsHaveOneText) {
  EXPECT_EQ(must(Destination::parse("api.example.org:443")),
            (Destination{.host = "api.example.org", .port = 443}));
  for (auto text : {"", "host", "host:", ":443", "host:0", "host:65536", "host:-1", "host: 1", "host:1 ",
                    "ho st:1", "Host:1", "a..b:1", ".a:1", "-a:1", "[::1]:80", "a\n:1"}) {
    EXPECT_FALSE(Destination::parse(text)) << text;
  }
  auto leading_zero = PublicManifest{};
  leading_zero.terms.egress = {{.host = "host", .port = 7}};
  auto encoded = leading_zero.encode();
  auto text = std::string(as_text(encoded));
  auto at = text.find("fhost:7");  // 0x66: text of 6 bytes
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 7, "ghost:07");
  EXPECT_FALSE(PublicManifest::parse(as_bytes(text)));
}

TEST(ManifestTest, WithoutEntriesEverythingMayRun) {
  ASSERT_OK(Manifest{}.check_run("any.py", std::vector<std::string>{"-x"}));
}

TEST(ManifestTest, OnlyListedEntriesWithAllowedArgumentsMayRun) {
  auto manifest = full();
  using Arguments = std::vector<std::string>;
  ASSERT_OK(manifest.check_run("train.py", Arguments{"--epochs=3", "--epochs="}));
  ASSERT_OK(manifest.check_run("bin/score", Arguments{"what", "ever"}));
  for (auto entry : {"other.py", "train.py/", "./train.py", "train.py\n", "-c", ""}) {
    auto status = manifest.check_run(entry, Arguments{});
    ASSERT_FALSE(status) << entry;
    EXPECT_EQ(status.error().kind(), ErrorKind::denied);
  }
  EXPECT_FALSE(manifest.check_run("train.py", Arguments{"-c"}));
  EXPECT_FALSE(manifest.check_run("train.py", Arguments{"x--epochs=3"}));
  EXPECT_FALSE(manifest.check_run("train.py", Arguments(4, "--epochs=1")));
}

TEST(ManifestTest, PatternsMatchWholeArguments) {
  auto allows = [](std::string pattern, std::string argument) {
    ArgumentPolicy policy{.patterns = {std::move(pattern)}};
    return policy.allows(std::vector<std::string>{std::move(argument)});
  };
  EXPECT_TRUE(allows("*", ""));
  EXPECT_TRUE(allows("", ""));
  EXPECT_TRUE(allows("a*b*c", "aXbYbZc"));
  EXPECT_TRUE(allows("*.csv", "a.csv.csv"));
  EXPECT_TRUE(allows("a**", "a"));
  EXPECT_FALSE(allows("", "a"));
  EXPECT_FALSE(allows("a*b", "acbd"));
  EXPECT_FALSE(allows("a?c", "abc"));
  EXPECT_FALSE(allows("a", "ab"));
  EXPECT_FALSE(allows("*a*a*a*a*a*a*a*a*b", std::string(2000, 'a')));
}

}  // namespace
}  // namespace cloister::package
