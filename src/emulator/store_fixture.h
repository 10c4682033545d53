// A key store in a directory of its own, for its tests.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "crypto/digest.h"
#include "emulator/store.h"

namespace cloister::emulator {

class StoreFiles : public testing::Test {
 protected:
  StoreFiles() {
    std::string pattern = testing::TempDir() + "store-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/kms.db";
  }
  ~StoreFiles() override { std::filesystem::remove_all(directory_); }

  // Every byte of the database and of its write-ahead log.
  std::string raw() const {
    std::string out;
    for (const char* suffix : {"", "-wal"}) {
      std::ifstream file(path_ + suffix, std::ios::binary);
      out.append(std::istreambuf_iterator<char>(file), {});
    }
    return out;
  }

  Secret master_ = crypto::random_secret(32);
  std::string directory_;
  std::string path_;
};

}  // namespace cloister::emulator
