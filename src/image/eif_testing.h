// Small images for tests of this room.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "codec/crc32.h"
#include "crypto/x509.h"
#include "image/eif_signature.h"
#include "sys/file.h"

namespace cloister::image {

// A directory that goes with the test.
class Workshop {
 public:
  Workshop() {
    char name[] = "/tmp/cloister-eif-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;
  ~Workshop() { std::filesystem::remove_all(path_); }

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string file(const std::string& name, std::string_view content) const {
    EXPECT_TRUE(sys::write_file_atomic(path(name), as_bytes(content)));
    return path(name);
  }
  Bytes bytes(const std::string& name) const {
    auto read = sys::read_file(path(name), 1 << 24);
    EXPECT_TRUE(read) << read.error().message();
    return read.value_or(Bytes());
  }

  // The image of the format's text.
  ImageParts parts() const {
    return {.kernel_path = file("kernel", "KERNEL"),
            .command_line = "reboot=k",
            .metadata = {},
            .ramdisk_paths = {file("init", "first"), file("app", "second")}};
  }
  std::string image(const std::string& name = "image.eif") const {
    auto written = write_eif(path(name), parts());
    EXPECT_TRUE(written) << written.error().message();
    return path(name);
  }

 private:
  std::string path_;
};

inline constexpr sys::UnixMillis kCertificateStart = 1'700'000'000'000;
inline constexpr sys::UnixMillis kCertificateEnd = 1'800'000'000'000;

inline Signer make_signer(crypto::KeyType type = crypto::KeyType::p384) {
  auto key = crypto::PrivateKey::generate(type).value();
  auto certificate = crypto::issue_certificate({.common_name = "image signer",
                                                .organization = {},
                                                .not_before = kCertificateStart,
                                                .not_after = kCertificateEnd},
                                               key.public_key(), nullptr, key);
  return {std::move(key), std::move(certificate).value()};
}

// Makes the CRC of changed bytes right again, so that a test meets what is behind it.
inline void mend_crc(Bytes& image) {
  ByteView view(image);
  auto crc = codec::crc32(view.subspan(kEifHeaderSize), codec::crc32(view.first(kEifCrcOffset)));
  auto bytes = std::move(Writer().u32(crc)).take();
  std::ranges::copy(bytes, image.begin() + kEifCrcOffset);
}

}  // namespace cloister::image
