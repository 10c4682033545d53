#include "image/simulated.h"

#include <gtest/gtest.h>

namespace cloister::image {
namespace {

SimulatedParts parts_of(std::string_view supervisor, std::string_view trust, std::string_view runtime) {
  return {crypto::sha384(as_bytes(supervisor)), crypto::sha384(as_bytes(trust)),
          crypto::sha384(as_bytes(runtime))};
}

TEST(Simulated, EveryPartChangesTheImageMeasurement) {
  auto base = simulated_measurements(parts_of("a", "b", "c")).pcrs[0];
  EXPECT_NE(base, simulated_measurements(parts_of("x", "b", "c")).pcrs[0]);
  EXPECT_NE(base, simulated_measurements(parts_of("a", "x", "c")).pcrs[0]);
  EXPECT_NE(base, simulated_measurements(parts_of("a", "b", "x")).pcrs[0]);
}

TEST(Simulated, NoPcrPassesForARealOne) {
  auto measurements = simulated_measurements(parts_of("a", "b", "c"));
  for (const auto& [index, pcr] : measurements.pcrs) {
    ASSERT_EQ(pcr.size(), 48u);
    EXPECT_EQ(as_text(pcr).substr(0, 8), "simulate") << index;
  }
  EXPECT_TRUE(measurements.simulated());
}

TEST(Simulated, IndexesAreSeparateDomains) {
  auto measurements = simulated_measurements(parts_of("a", "a", "a"));
  EXPECT_NE(measurements.pcrs[0], measurements.pcrs[1]);
  EXPECT_NE(measurements.pcrs[1], measurements.pcrs[2]);
}

TEST(Simulated, AMissingFileIsNamed) {
  auto parts = measure_parts("/nonexistent/cloisterd-sim", "/dev/null", "/dev/null");
  ASSERT_FALSE(parts);
  EXPECT_NE(parts.error().message().find("/nonexistent/cloisterd-sim"), std::string::npos);
}

}  // namespace
}  // namespace cloister::image
