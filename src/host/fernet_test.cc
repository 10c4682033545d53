#include "host/fernet.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>

#include "codec/base64.h"
#include "sys/fd.h"
#include "sys/file.h"

namespace cloister::host {
namespace {

// The key of the specification's vectors.
Secret spec_key() {
  return Secret(codec::from_base64url("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").value());
}

Secret counting_key() {
  Bytes key;
  for (std::uint8_t i = 0; i < kFernetKeySize; ++i) key.push_back(i);
  return Secret(std::move(key));
}

Result<std::string> decrypt(std::string_view token, const Secret& key, std::string_view before = "",
                            std::string_view after = "") {
  sys::Fd file(::memfd_create("fernet", MFD_CLOEXEC));
  TRY(sys::write_all(file.get(), as_bytes(std::string(before) + std::string(token) + std::string(after)),
                     "file"));
  auto opened = TRY(FernetToken::open(file.get(), before.size(), token.size()));
  std::string out;
  TRY(opened.decrypt(key, [&](ByteView bytes) -> Status {
    out += as_text(bytes);
    return {};
  }));
  return out;
}

constexpr std::string_view kHello =
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

// generate.json and verify.json of the specification.
TEST(Fernet, OpensTheSpecificationsToken) {
  EXPECT_EQ(decrypt(kHello, spec_key()).value(), "hello");
  EXPECT_EQ(decrypt(kHello, spec_key(), "before", "after").value(), "hello");
}

// invalid.json, less the two that only a clock can refuse: those are whole, and a package does not expire.
TEST(Fernet, RefusesWhatTheSpecificationCallsInvalid) {
  struct Row {
    std::string_view what, token, why;
  };
  for (const auto& row : {
           Row{"incorrect mac",
               "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-"
               "szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
               "changed"},
           Row{"too short", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==", "40 bytes"},
           Row{"invalid base64",
               "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-"
               "szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
               "not base64"},
           Row{"payload size not multiple of block size",
               "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_"
               "v7mrfyudzUm",
               "72 bytes"},
           Row{"payload padding error",
               "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-"
               "JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
               "wrong padding"},
           Row{"incorrect IV (causes padding error)",
               "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-"
               "fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
               "wrong padding"},
           Row{"trailing characters after b64 padding",
               "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_"
               "eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==trailingdata",
               "not base64"},
           Row{"invalid characters in b64",
               "*gAAAAAAdwJ6wAAECAwQFBgcI!CQoLDA0ODy021?cpGVWKZ_eEwC@"
               "GM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
               "not base64"},
           Row{"invalid non-urlsafe characters in b64",
               "gAAAAAAdwJ6wAAEC/"
               "AwQFBgcICQoLDA0ODy+021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
               "base64"},
           Row{"empty", "", "not base64"},
           Row{"only padding", "====", "base64"},
           Row{"another version",
               "gQAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_"
               "eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
               "version 0x81"},
       }) {
    auto opened = decrypt(row.token, spec_key());
    ASSERT_FALSE(opened) << row.what;
    EXPECT_EQ(opened.error().kind(), ErrorKind::corrupt) << row.what;
    EXPECT_NE(opened.error().message().find(row.why), std::string::npos)
        << row.what << ": " << opened.error().message();
  }
}

TEST(Fernet, NoBitOfItMayChange) {
  auto bytes = codec::from_base64url(kHello).value();
  for (std::size_t at = 0; at < bytes.size() * 8; ++at) {
    auto other = bytes;
    other[at / 8] ^= static_cast<std::uint8_t>(1U << (at % 8));
    auto text = codec::to_base64(other);
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    EXPECT_FALSE(decrypt(text, spec_key())) << "bit " << at;
  }
}

TEST(Fernet, NoPartOfItOpens) {
  for (std::size_t size = 0; size < kHello.size(); ++size)
    EXPECT_FALSE(decrypt(kHello.substr(0, size), spec_key())) << size;
}

// A wrong HMAC gives no plaintext at all: the first reading decrypts nothing.
TEST(Fernet, NothingIsDecryptedBeforeItIsVerified) {
  sys::Fd file(::memfd_create("fernet", MFD_CLOEXEC));
  ASSERT_TRUE(sys::write_all(file.get(), as_bytes(kHello), "file"));
  auto opened = FernetToken::open(file.get(), 0, kHello.size());
  ASSERT_TRUE(opened);
  std::size_t given = 0;
  package::Sink count = [&](ByteView bytes) -> Status {
    given += bytes.size();
    return {};
  };
  EXPECT_FALSE(opened->decrypt(counting_key(), count));
  EXPECT_EQ(given, 0U);
  EXPECT_FALSE(opened->decrypt(Secret(std::size_t{16}), count));
  EXPECT_TRUE(opened->decrypt(spec_key(), count));
  EXPECT_EQ(given, 5U);
}

}  // namespace
}  // namespace cloister::host
