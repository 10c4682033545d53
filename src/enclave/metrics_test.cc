#include "enclave/metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <sstream>

namespace cloister::enclave {
namespace {

std::string sample() {
  ListenerCounters counters;
  counters.connections = 7;
  counters.refused_handshake = 2;
  return metrics_text(
      {.mode = Mode::simulated,
       .uptime = std::chrono::seconds(61),
       .connections_open = 3,
       .counters = counters,
       .jobs = {.started = 9, .running = 2, .exited = 4, .failed = 2, .cancelled = 1, .event_bytes = 99},
       .shares = {.clients = 2, .servers = 1, .inodes = 12, .handles = 5, .bytes_read = 1ULL << 40}});
}

// https://prometheus.io/docs/instrumenting/exposition_formats: HELP, TYPE, then the samples of one family.
TEST(Metrics, EveryLineIsOfTheTextFormat) {
  const std::regex help(R"(# HELP (cloister_[a-z_]+) [A-Z][^\n]*\.)");
  const std::regex type(R"(# TYPE (cloister_[a-z_]+) (counter|gauge))");
  const std::regex value(R"((cloister_[a-z_]+)(\{([a-z]+="[^"\\\n]*",?)+\})? [0-9]+)");
  auto text = sample();
  EXPECT_TRUE(text.ends_with('\n'));
  std::istringstream lines(text);
  std::map<std::string, int> samples;
  std::string helped;
  std::string typed;
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_match(line, found, help)) {
      helped = found[1];
      EXPECT_EQ(samples.count(helped), 0U) << "a family in two places: " << line;
    } else if (std::regex_match(line, found, type)) {
      typed = found[1];
      EXPECT_EQ(typed, helped);
      EXPECT_EQ(found[2] == "counter", typed.ends_with("_total")) << line;
    } else {
      ASSERT_TRUE(std::regex_match(line, found, value)) << line;
      EXPECT_EQ(found[1], typed);
      ++samples[typed];
    }
  }
  EXPECT_GE(samples.size(), 15U);
}

TEST(Metrics, SayWhatWasCounted) {
  auto text = sample();
  for (const char* line :
       {"cloister_build_info{version=\"" CLOISTER_VERSION "\",mode=\"simulated\"} 1\n",
        "cloister_uptime_seconds 61\n", "cloister_connections 3\n", "cloister_connections_accepted_total 7\n",
        "cloister_connections_refused_total{reason=\"handshake\"} 2\n", "cloister_jobs_started_total 9\n",
        "cloister_jobs_ended_total{outcome=\"exited\"} 4\n",
        "cloister_jobs_ended_total{outcome=\"failed\"} 2\n",
        "cloister_jobs_ended_total{outcome=\"cancelled\"} 1\n", "cloister_jobs_running 2\n",
        "cloister_job_events_bytes 99\n", "cloister_share_clients 2\n", "cloister_share_servers 1\n",
        "cloister_share_inodes 12\n", "cloister_share_handles 5\n",
        "cloister_share_read_bytes_total 1099511627776\n"}) {
    EXPECT_NE(text.find(std::string("\n") + line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace cloister::enclave
