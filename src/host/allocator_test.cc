#include "host/allocator.h"

#include <gtest/gtest.h>

namespace cloister::host {
namespace {

// As the package of nitro-cli installs it: comments, two values, an example.
constexpr const char* kInstalled =
    "---\n"
    "# Enclave configuration file.\n"
    "#\n"
    "memory_mib: 512\n"
    "#\n"
    "cpu_count: 2\n"
    "#\n"
    "# cpu_pool: 2,3,6-9\n";

TEST(Allocator, ReadsWhatTheServiceReads) {
  auto config = parse_allocator(kInstalled).value();
  EXPECT_EQ(config.memory_mib, 512U);
  EXPECT_EQ(config.cpu_count, 2U);
  EXPECT_TRUE(config.cpu_pool.empty());

  auto pool =
      parse_allocator("# before\nignored: yes\n---\n  memory_mib: \"1024\"\ncpu_pool: 2,3,6-9\n").value();
  EXPECT_EQ(pool.memory_mib, 1024U);
  EXPECT_EQ(pool.cpu_pool, (std::vector<unsigned>{2, 3, 6, 7, 8, 9}));
  EXPECT_EQ(pool.cpus(), 6U);
}

TEST(Allocator, RefusesWhatMakesTheServiceFail) {
  for (const char* text :
       {"", "---\n", "memory_mib: 512\ncpu_count: 2\n", "---\nmemory_mib: 512\n", "---\ncpu_count: 2\n",
        "---\nmemory_mib: 512\ncpu_count: 2\ncpu_pool: 1\n", "---\nmemory_mib:\ncpu_count: 2\n",
        "---\nmemory_mib: 512\n\ncpu_count: 2\n", "---\nmemory_mib: 512 # enough\ncpu_count: 2\n",
        "---\nmemory_mib: -1\ncpu_count: 2\n", "---\nmemory_mib: 512\ncpu_count: 0\n", "---\nmemory: 512\n",
        "---\nmemory_mib: 99999999999999999999\ncpu_count: 2\n", "---\nmemory_mib: 512\ncpu_pool: 2,2\n",
        "---\nmemory_mib: 512\ncpu_pool: 2-\n", "---\nmemory_mib: 512\ncpu_count: 2",
        "---\nmemory_mib: 512\r\ncpu_count: 2\r\n"}) {
    EXPECT_FALSE(parse_allocator(text)) << text;
  }
  EXPECT_NE(parse_allocator("---\n#\nspeed: 9\n").error().message().find("line 3"), std::string::npos);
}

TEST(Allocator, ListsOfProcessors) {
  EXPECT_EQ(parse_cpu_list("").value(), std::vector<unsigned>());
  EXPECT_EQ(parse_cpu_list("1,3").value(), (std::vector<unsigned>{1, 3}));
  EXPECT_EQ(parse_cpu_list("7,1-2").value(), (std::vector<unsigned>{1, 2, 7}));
  for (const char* text : {"a", "1,", ",1", "2-1", "1-2-3", "-1", "1,1", "0-9999999", "1 2"})
    EXPECT_FALSE(parse_cpu_list(text)) << text;
}

TEST(Allocator, EditsLinesAndLeavesTheOthers) {
  EXPECT_EQ(
      edit_allocator(kInstalled, 3072, 4),
      "---\n# Enclave configuration file.\n#\nmemory_mib: 3072\n#\ncpu_count: 4\n#\n# cpu_pool: 2,3,6-9\n");
  EXPECT_EQ(edit_allocator(kInstalled, 512, 2), kInstalled);
  EXPECT_EQ(edit_allocator(kInstalled, 512, std::nullopt), kInstalled);
}

TEST(Allocator, ACountReplacesAPool) {
  EXPECT_EQ(edit_allocator("---\nmemory_mib: 512\ncpu_pool: 2,3\n", 600, 4),
            "---\nmemory_mib: 600\n# cpu_pool: 2,3\ncpu_count: 4\n");
  EXPECT_EQ(edit_allocator("---\nmemory_mib: 512\ncpu_pool: 2,3\n", 600, std::nullopt),
            "---\nmemory_mib: 600\ncpu_pool: 2,3\n");
}

TEST(Allocator, WhatItWritesTheServiceReads) {
  for (const char* text :
       {"", "memory_mib: 1\n", "---\n\nmemory_mib: 1\n\ncpu_count: 1\n",
        "---\nmemory_mib: 1 # few\nmemory_mib: 2\n", "# only a comment", "---\ncpu_pool: 2\nmemory_mib: 5",
        "# a\n\n---\n", "---\r\nmemory_mib: 1\r\n\r\n# x\r\ncpu_count: 1\r\n"}) {
    auto config = parse_allocator(edit_allocator(text, 777, 6));
    ASSERT_TRUE(config) << text << ": " << config.error().message();
    EXPECT_EQ(config->memory_mib, 777U);
    EXPECT_EQ(config->cpus(), 6U);
  }
}

}  // namespace
}  // namespace cloister::host
