#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "doctor/checks_testing.h"
#include "doctor/report.h"

namespace cloister::doctor {
namespace {

std::string told(const Findings& findings) {
  std::string out;
  for (const auto& finding : findings.all()) {
    if (finding.severity > Severity::fine)
      out += fmt::format("{}: {} ({})\n", finding.id, finding.what, finding.mend);
  }
  return out;
}

TEST(Doctor, HasNothingToSayOfGoodMachines) {
  for (const auto& facts : {simulated(), emulated(), nitro(), graviton(), ran(simulated()), ran(nitro())}) {
    auto findings = examine(facts);
    EXPECT_EQ(told(findings), "") << facts.asked.backend;
    EXPECT_GT(findings.count(Severity::fine), 8U);
  }
}

std::vector<Row> all_rows() {
  std::vector<Row> out;
  for (auto rows : {machine_rows(), enclave_rows(), nitro_rows(), memory_rows(), aws_rows()})
    std::ranges::move(rows, std::back_inserter(out));
  return out;
}

TEST(Doctor, SaysOneThingOfEach) {
  for (auto& row : all_rows()) {
    row.change(row.facts);
    auto findings = examine(row.facts);
    std::vector<Finding> bad;
    for (const auto& finding : findings.all()) {
      if (finding.severity != Severity::fine) bad.push_back(finding);
    }
    auto same = std::ranges::find(bad, std::string_view(row.id), &Finding::id);
    ASSERT_NE(same, bad.end()) << row.what << "\n" << told(findings);
    EXPECT_EQ(same->severity, row.severity) << row.what;
    EXPECT_NE(same->what.find(row.said), std::string::npos) << row.what << ": " << same->what;
    EXPECT_NE(same->mend.find(row.mended), std::string::npos) << row.what << ": " << same->mend;
    bool mended = same->severity == Severity::note || !same->mend.empty();
    EXPECT_TRUE(mended) << row.what;
  }
}

// No more than is there: a cause has one finding, or two where both are to be done.
TEST(Doctor, DoesNotRepeatItself) {
  const std::set<std::string> kTwo = {"no processors",
                                      "in use by another",
                                      "a package that cannot fit",
                                      "a package that may not fit",
                                      "not root",
                                      "running already",
                                      "no role",
                                      "no tokens and nothing else",
                                      "work for a machine without memory",
                                      "kernel 5.10 simulated",
                                      "data for a quarter of the memory"};
  for (auto& row : all_rows()) {
    row.change(row.facts);
    auto findings = examine(row.facts);
    auto bad = findings.all().size() - findings.count(Severity::fine);
    EXPECT_LE(bad, kTwo.contains(row.what) ? 2U : 1U) << row.what << "\n" << told(findings);
  }
}

TEST(Doctor, CanSayEverythingThatItListsAndNothingElse) {
  std::set<std::string_view> listed;
  std::set<std::string_view> said;
  for (const auto& check : kChecks) EXPECT_TRUE(listed.insert(check.id).second) << check.id;
  for (auto& row : all_rows()) {
    row.change(row.facts);
    auto findings = examine(row.facts);
    for (const auto& finding : findings.all()) {
      EXPECT_TRUE(listed.contains(finding.id)) << finding.id;
      if (finding.severity != Severity::fine) said.insert(finding.id);
    }
  }
  EXPECT_EQ(said, listed);
}

TEST(Doctor, AdvisesMemoryInWhichThingsFit) {
  for (std::uint64_t data : {0U, 10U, 500U, 3000U, 20000U}) {
    for (std::uint64_t package : {0U, 40U, 900U}) {
      auto facts = emulated();
      facts.machine.available_mib = 1 << 20;
      facts.data->bytes = data * kMib;
      facts.package->content_bytes = package * kMib;
      facts.asked.memory_mib = fitting_memory_mib(facts);
      EXPECT_EQ(told(examine(facts)), "") << data << " " << package << " " << facts.asked.memory_mib;
    }
  }
}

TEST(Doctor, RaisesWhatTheImageAsksForAsUpDoes) {
  auto facts = nitro();
  facts.image->file_bytes = 700 * kMib;
  EXPECT_EQ(enclave_memory_mib(facts), 2800U);
  facts.asked.backend = "qemu";
  EXPECT_EQ(enclave_memory_mib(facts), 2048U);
}

// A key's policy that refuses the host is what should be.
TEST(Doctor, TakesARefusalOfTheHostForGood) {
  for (const char* why : {"with an explicit deny in a resource-based policy",
                          "because no resource-based policy allows the kms:Decrypt action", ""}) {
    auto facts = nitro();
    facts.kms->dry_run = "AccessDeniedException";
    facts.kms->dry_run_message = why;
    EXPECT_EQ(told(examine(facts)), "") << why;
  }
}

TEST(Report, ShowsWhatIsWrongFirstAndEscapesIt) {
  auto facts = emulated();
  facts.asked.memory_mib = 320;
  facts.package->error = "evil\x1b[2J: not an encrypted package";
  auto findings = examine(facts);
  auto text = in_words(facts, findings, false);
  EXPECT_EQ(text.find("\x1b"), std::string::npos);
  EXPECT_EQ(text.find(" ok "), std::string::npos);
  EXPECT_NE(text.find("memory\n  PROBLEM 320 MiB"), std::string::npos) << text;
  EXPECT_NE(text.find("2 problems, 0 warnings"), std::string::npos) << text;
  EXPECT_NE(in_words(facts, findings, true).find("ok      Linux 6.12.0 [kernel]"), std::string::npos);
  auto json = as_json(facts, findings);
  EXPECT_NE(json.find("\"least_memory_mib\": 390"), std::string::npos) << json;
  EXPECT_NE(json.find("\"id\": \"memory-image\""), std::string::npos);
}

}  // namespace
}  // namespace cloister::doctor
