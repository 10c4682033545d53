#include "doctor/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "doctor/checks.h"

namespace cloister::doctor {

namespace {

// Names of files and answers of services may hold anything.
std::string safe(const std::string& text) {
  return escape_controls(text);
}

std::string_view label(Severity severity) {
  return severity == Severity::problem   ? "PROBLEM"
         : severity == Severity::warning ? "warning"
         : severity == Severity::note    ? "note"
                                         : "ok";
}

std::string counted(std::size_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

std::string summary(const Facts& facts, const Findings& findings, bool all) {
  auto fine = findings.count(Severity::fine);
  auto out = fmt::format(
      "{} for backend {}: {}, {}; {} fine{}\n", facts.asked.starting ? "predicted" : "examined",
      facts.asked.backend, counted(findings.count(Severity::problem), "problem"),
      counted(findings.count(Severity::warning), "warning"),
      fine == 1 ? "1 check is" : fmt::format("{} checks are", fine), all ? "" : " (--all shows them)");
  return out;
}

std::vector<const Finding*> of(const Findings& findings, std::string_view id, bool all) {
  std::vector<const Finding*> out;
  for (const auto& finding : findings.all()) {
    if (finding.id == id && (all || finding.severity != Severity::fine)) out.push_back(&finding);
  }
  return out;
}

}  // namespace

std::string in_words(const Facts& facts, const Findings& findings, bool all) {
  std::string out;
  std::string_view group;
  for (const auto& check : kChecks) {
    for (const auto* finding : of(findings, check.id, all)) {
      if (check.group != group) out += fmt::format("{}\n", check.group);
      group = check.group;
      out += fmt::format("  {:<7} {} [{}]\n", label(finding->severity), safe(finding->what), finding->id);
      if (!finding->mend.empty()) out += fmt::format("          {}\n", safe(finding->mend));
    }
  }
  return out + summary(facts, findings, all);
}

std::string as_json(const Facts& facts, const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& check : kChecks) {
    for (const auto* finding : of(findings, check.id, true)) {
      list.push_back({{"id", finding->id},
                      {"group", check.group},
                      {"severity", to_string(finding->severity)},
                      {"what", finding->what},
                      {"mend", finding->mend}});
    }
  }
  nlohmann::ordered_json out{{"backend", facts.asked.backend},
                             {"problems", findings.count(Severity::problem)},
                             {"warnings", findings.count(Severity::warning)}};
  if (auto memory = enclave_memory_mib(facts); facts.image && memory != 0) {
    out["memory_mib"] = memory;
    out["least_memory_mib"] = image::least_memory_mib(facts.image->footprint);
    out["fitting_memory_mib"] = fitting_memory_mib(facts);
  }
  out["findings"] = std::move(list);
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace cloister::doctor
