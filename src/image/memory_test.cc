#include "image/memory.h"

#include <gtest/gtest.h>

namespace cloister::image {
namespace {

constexpr std::uint64_t operator""_tenths(unsigned long long tenths) {
  return tenths * 1024 * 1024 / 10;  // of a MiB, in bytes
}

// Measured: with `fails` MiB the machine ended, with `boots` it came up (Cloister's kernel 6.12, x86-64,
// QEMU's microvm). In the order of least_memory_mib's terms: little, what cannot be packed, what packs well,
// 20000 small files, and a mixture.
struct Measured {
  const char* what;
  std::uint64_t packed;
  std::uint64_t content;
  std::uint64_t fails;
  std::uint64_t boots;
};
constexpr Measured kMeasured[] = {
    {"supervisor alone", 62_tenths, 147_tenths, 52, 54},
    {"120 MiB of chance", 1262_tenths, 1347_tenths, 419, 421},
    {"300 MiB of one line", 62_tenths, 3147_tenths, 663, 665},
    {"20000 files of 100 bytes", 82_tenths, 928_tenths, 212, 214},
    {"60 MiB of chance, 150 of one line", 662_tenths, 2247_tenths, 541, 543},
};

TEST(Memory, RefusesWhatDoesNotBootAndNothingElse) {
  constexpr std::uint64_t kMargin = 3;  // MiB
  for (const auto& [what, packed, content, fails, boots] : kMeasured) {
    Footprint image{.packed_bytes = packed, .content_bytes = content, .unpacked_bytes = content};
    EXPECT_LE(least_memory_mib(image), boots) << what;
    EXPECT_GE(least_memory_mib(image) + kMargin, fails) << what;
    EXPECT_GE(advised_memory_mib(image), boots) << what;
  }
}

// What docs/images.md shows of `image build`.
TEST(Memory, AdvisesInSteps) {
  EXPECT_EQ(advised_memory_mib({.packed_bytes = 523_tenths, .unpacked_bytes = 1646_tenths}), 576U);
  EXPECT_EQ(advised_memory_mib({.packed_bytes = 62_tenths, .unpacked_bytes = 148_tenths}), 256U);
}

TEST(Memory, WhatCannotBeLookedIntoIsAtLeastWhatItIsPacked) {
  Footprint unknown{.packed_bytes = 1000_tenths, .known = false};
  EXPECT_EQ(least_memory_mib(unknown), (316 * 64 + 62) / 63);
  EXPECT_GE(advised_memory_mib(unknown), 392U);
}

TEST(Memory, LeavesTheRestForApplications) {
  Footprint image{.packed_bytes = 523_tenths, .content_bytes = 1600_tenths, .unpacked_bytes = 1640_tenths};
  EXPECT_EQ(room_mib(image, 1024), 1024U - 16 - 16 - 164);
  EXPECT_EQ(room_mib(image, 64), 0U);
}

}  // namespace
}  // namespace cloister::image
