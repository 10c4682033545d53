#include "cli/key_show.h"

#include <iterator>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace cloister::cli {

namespace {

using host::Opening;
using nlohmann::ordered_json;

constexpr std::size_t kShortDigits = 16;  // of a register or a fingerprint: enough to tell images apart

std::string shortened(const std::string& digits) {
  return digits.size() > kShortDigits ? digits.substr(0, kShortDigits) + "…" : digits;
}

// What the policy says comes from elsewhere: it must not drive the terminal.
void add_line(std::string& out, std::string_view line) {
  out += escape_controls(line);
  out += '\n';
}

void add_list(std::string& out, const char* what, const std::vector<std::string>& values,
              const char* otherwise) {
  auto list = values.empty() ? std::string(otherwise) : fmt::format("{}", fmt::join(values, ", "));
  add_line(out, fmt::format("    {}: {}", what, list));
}

std::vector<std::string> known_names(const std::vector<std::string>& fingerprints,
                                     const host::KnownSigners& signers) {
  std::vector<std::string> out;
  for (const auto& text : fingerprints) {
    auto fingerprint = host::parse_fingerprint(text);
    auto known = fingerprint ? signers.find(*fingerprint) : std::nullopt;
    out.push_back(known ? fmt::format("{} ({})", known->name, shortened(text)) : text);
  }
  return out;
}

std::string title(const Opening& opening) {
  switch (opening.document) {
    case Opening::Document::none:
      return "WITHOUT ATTESTATION";
    case Opening::Document::any_image:
      return "ANY IMAGE";
    case Opening::Document::image:
      break;
  }
  const auto& image = opening.image;
  auto what = image.pcr == "PCR0"   ? "image"
              : image.pcr == "PCR8" ? "images signed by"
                                    : "images with the kernel of";
  return fmt::format("{} {} {}", what, image.pcr, shortened(image.value));
}

void add_opening(std::string& out, const Opening& opening, const host::KnownSigners& signers) {
  add_line(out, fmt::format("  {}", title(opening)));
  add_list(out, "principals", opening.principals, "nobody");
  add_list(out, "packages", opening.names, "any");
  add_list(out, "releases", opening.releases, "any");
  add_list(out, "signers", known_names(opening.signers, signers), "any");
  for (const auto& condition : opening.conditions) add_line(out, fmt::format("    only if: {}", condition));
  auto until = opening.until.empty() ? "you revoke it" : opening.until;
  add_line(out, fmt::format("    until: {}{}", until, opening.over ? " (over)" : ""));
}

void add_finding(std::string& out, const host::Finding& finding) {
  bool warning = finding.severity == host::Severity::warning;
  auto where = finding.statement.empty() ? std::string() : fmt::format(" [{}]", finding.statement);
  add_line(out, fmt::format("{} {}{}: {}", warning ? "WARNING" : "note", finding.code, where, finding.text));
}

// Warnings that one step mends stand above it together.
void add_findings(std::string& out, const std::vector<host::Finding>& findings) {
  for (std::size_t i = 0; i < findings.size(); ++i) {
    add_finding(out, findings[i]);
    const auto& advice = findings[i].advice;
    bool again = i + 1 < findings.size() && findings[i + 1].advice == advice;
    bool told = findings[i].severity == host::Severity::warning && !advice.empty() && !again;
    if (told) add_line(out, fmt::format("  do: {}", advice));
  }
}

ordered_json as_json(const Opening& opening) {
  constexpr const char* kDocuments[] = {"none", "any-image", "image"};
  ordered_json out{{"document", kDocuments[static_cast<int>(opening.document)]}};
  if (opening.document == Opening::Document::image) out[opening.image.pcr] = opening.image.value;
  out["principals"] = opening.principals;
  out["packages"] = opening.names;
  out["releases"] = opening.releases;
  out["signers"] = opening.signers;
  out["conditions"] = opening.conditions;
  out["until"] = opening.until.empty() ? ordered_json() : ordered_json(opening.until);
  out["over"] = opening.over;
  out["statements"] = opening.statements;
  return out;
}

ordered_json as_json(const host::Finding& finding) {
  bool warning = finding.severity == host::Severity::warning;
  return {{"severity", warning ? "warning" : "note"},
          {"code", finding.code},
          {"statement", finding.statement},
          {"text", finding.text},
          {"advice", finding.advice}};
}

}  // namespace

std::string show_in_words(const host::KeyFacts& facts, const host::KeyJudgement& judgement,
                          const host::KnownSigners& signers) {
  std::string out;
  add_line(out, fmt::format("{} ({})", facts.key.arn, facts.key.key_state));
  bool image = false;
  for (const auto& opening : judgement.openings) {
    image = image || opening.document != Opening::Document::none;
    add_opening(out, opening, signers);
  }
  if (judgement.judged && !image) add_line(out, "  no image may decrypt");
  add_findings(out, judgement.findings);
  return out;
}

std::string show_as_json(const host::KeyFacts& facts, const host::KeyJudgement& judgement) {
  ordered_json out{{"key", facts.key.arn}, {"state", facts.key.key_state}};
  auto& openings = out["can_decrypt"] = ordered_json::array();
  for (const auto& opening : judgement.openings) openings.push_back(as_json(opening));
  auto& findings = out["findings"] = ordered_json::array();
  for (const auto& finding : judgement.findings) findings.push_back(as_json(finding));
  auto policy = ordered_json::parse(facts.policy, nullptr, /*allow_exceptions=*/false);
  out["policy"] = policy.is_discarded() ? ordered_json(facts.policy) : policy;
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace cloister::cli
