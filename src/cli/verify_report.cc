#include "cli/verify_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/log.h"
#include "cli/verify_input.h"

namespace cloister::cli {

namespace {

using attestation::Comparison;
using attestation::Document;
using nlohmann::ordered_json;

// Leaf first, root last. They parse: the chain has been verified.
std::vector<crypto::Certificate> chain_of(const Document& document) {
  std::vector<crypto::Certificate> chain;
  auto add = [&](const Bytes& der) {
    auto certificate = crypto::Certificate::from_der(der);
    if (certificate) chain.push_back(*std::move(certificate));
  };
  add(document.certificate);
  for (auto der = document.cabundle.rbegin(); der != document.cabundle.rend(); ++der) add(*der);
  return chain;
}

void line(std::string& out, std::string_view name, std::string_view text) {
  out += fmt::format("{:<10} {}\n", name, escape_controls(text));
}

// --- in words ---

std::string image_in_words(const Evidence& evidence) {
  const auto& image = evidence.judgement.image;
  if (image.empty()) return "not compared with any image";
  auto matching = std::ranges::count_if(image, [](const Comparison& c) { return c.difference().empty(); });
  auto all = static_cast<std::ptrdiff_t>(image.size());
  return fmt::format("{} {}: {} of {} expected PCRs match", matching == all ? "that of" : "NOT that of",
                     evidence.compared_with, matching, all);
}

void add_pcrs(std::string& out, const Evidence& evidence) {
  const auto& image = evidence.judgement.image;
  for (const auto& comparison : image) {
    auto name = fmt::format("  PCR{}", comparison.index);
    if (comparison.difference().empty()) {
      line(out, name, to_hex(comparison.expected) + " matches");
      continue;
    }
    line(out, name, "DIFFERS");
    line(out, "", "expected " + to_hex(comparison.expected));
    line(
        out, "",
        comparison.found ? "found    " + to_hex(*comparison.found) : "found    nothing: not in the document");
  }
  for (const auto& [index, pcr] : evidence.document.pcrs) {
    bool compared = std::ranges::any_of(image, [i = index](const Comparison& c) { return c.index == i; });
    if (!compared && !attestation::all_zero(pcr))
      line(out, fmt::format("  PCR{}", index), to_hex(pcr) + " not compared");
  }
}

std::string parent_in_words(const Evidence& evidence) {
  const auto& judgement = evidence.judgement;
  if (!judgement.module)
    return fmt::format("module {}, which names no instance", evidence.document.module_id);
  return fmt::format(
      "instance {}, enclave {}; {}", judgement.module->instance, judgement.module->enclave,
      judgement.instance_measured ? "PCR4 is that of this instance" : "PCR4 does not confirm it");
}

void add_demanded(std::string& out, const char* name, const std::optional<Comparison>& comparison) {
  if (!comparison) return;
  line(out, name,
       fmt::format("PCR{} {} what you expect", comparison->index,
                   comparison->difference().empty() ? "is" : "is NOT"));
}

std::string root_in_words(const Evidence& evidence) {
  auto who = evidence.aws() ? "AWS: the Nitro Enclaves root"
                            : "SIMULATED, not confidential: a development root, NOT AWS:";
  return fmt::format("{} {} (SHA-256 {})", who, evidence.root.subject(), to_hex(evidence.root.fingerprint()));
}

std::string chain_in_words(const std::vector<crypto::Certificate>& chain, const Evidence& evidence) {
  auto ends = std::ranges::min(chain, {}, [](const auto& c) { return c.not_after(); }).not_after();
  return fmt::format("{} certificates, P-384 with SHA-384, all valid at {}; the first ends {}", chain.size(),
                     utc(evidence.at), utc(ends));
}

std::string field_in_words(const char* name, const std::optional<Bytes>& field) {
  return field ? fmt::format("{} of {} bytes", name, field->size()) : fmt::format("no {}", name);
}

std::string fields_in_words(const Document& document) {
  return fmt::format("{}, {}, {}", field_in_words("nonce", document.nonce),
                     field_in_words("user_data", document.user_data),
                     field_in_words("public_key", document.public_key));
}

const char* verdict_in_words(const Evidence& evidence) {
  if (!evidence.judgement.doubts.empty()) return "DOUBTFUL: do not rely on it";
  return evidence.aws() ? "no doubt" : "no doubt, but SIMULATED";
}

// --- JSON ---

ordered_json hex_or_null(const std::optional<Bytes>& bytes) {
  return bytes ? ordered_json(to_hex(*bytes)) : ordered_json(nullptr);
}

ordered_json to_json(const Comparison& comparison) {
  return {{"expected", to_hex(comparison.expected)},
          {"found", hex_or_null(comparison.found)},
          {"matches", comparison.difference().empty()}};
}

ordered_json to_json(const std::optional<Comparison>& comparison) {
  return comparison ? to_json(*comparison) : ordered_json(nullptr);
}

ordered_json image_to_json(const Evidence& evidence) {
  if (evidence.judgement.image.empty()) return nullptr;
  ordered_json pcrs = ordered_json::object();
  for (const auto& comparison : evidence.judgement.image)
    pcrs[std::to_string(comparison.index)] = to_json(comparison);
  return {{"expected_by", evidence.compared_with}, {"pcrs", std::move(pcrs)}};
}

ordered_json parent_to_json(const attestation::Judgement& judgement) {
  ordered_json out{
      {"instance", nullptr}, {"enclave", nullptr}, {"pcr4_is_instance", judgement.instance_measured}};
  if (judgement.module) {
    out["instance"] = judgement.module->instance;
    out["enclave"] = judgement.module->enclave;
  }
  out["demanded_instance"] = to_json(judgement.instance);
  out["demanded_role"] = to_json(judgement.role);
  return out;
}

ordered_json to_json(const crypto::Certificate& certificate) {
  return {{"subject", certificate.subject()},
          {"sha256", to_hex(certificate.fingerprint())},
          {"not_before", certificate.not_before()},
          {"not_after", certificate.not_after()}};
}

ordered_json doubts_to_json(const std::vector<attestation::Doubt>& doubts) {
  ordered_json out = ordered_json::array();
  for (const auto& doubt : doubts) out.push_back({{"why", doubt.why}, {"hint", doubt.hint}});
  return out;
}

std::string dumped(const ordered_json& json) {
  return json.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

bool Evidence::aws() const {
  return root.fingerprint() == attestation::aws_nitro_root().fingerprint();
}

std::string report_in_words(const Evidence& evidence) {
  const auto& document = evidence.document;
  auto chain = chain_of(document);
  std::string out;
  line(out, "image", image_in_words(evidence));
  add_pcrs(out, evidence);
  line(out, "mode",
       document.debug_mode()
           ? "DEBUG: PCR0, PCR1 and PCR2 are zero. No image is measured, and the host reads its console"
           : "not debug");
  line(out, "made", fmt::format("{}, {}", utc(document.timestamp), ago(document.timestamp, evidence.now)));
  line(out, "judged", evidence.judged);
  line(out, "parent", parent_in_words(evidence));
  add_demanded(out, "  --parent", evidence.judgement.instance);
  add_demanded(out, "  --role", evidence.judgement.role);
  line(out, "vouched", root_in_words(evidence));
  line(out, "chain", chain_in_words(chain, evidence));
  line(out, "signature", "ES384, verifies under the key of " + chain.front().subject());
  line(out, "carries", fields_in_words(document));
  for (const auto& doubt : evidence.judgement.doubts) line(out, "doubt", doubt.why);
  line(out, "verdict", verdict_in_words(evidence));
  return out;
}

std::string report_as_json(const Evidence& evidence) {
  const auto& document = evidence.document;
  auto chain = chain_of(document);
  ordered_json out{{"verdict", evidence.judgement.doubts.empty() ? "no doubt" : "doubtful"},
                   {"doubts", doubts_to_json(evidence.judgement.doubts)},
                   {"module_id", document.module_id},
                   {"timestamp", document.timestamp},
                   {"age_ms", evidence.now - document.timestamp},
                   {"judged_at", evidence.at},
                   {"debug", document.debug_mode()},
                   {"digest", document.digest}};
  for (const auto& [index, pcr] : document.pcrs) out["pcrs"][std::to_string(index)] = to_hex(pcr);
  out["image"] = image_to_json(evidence);
  out["parent"] = parent_to_json(evidence.judgement);
  out["root"] = to_json(evidence.root);
  out["root"]["aws"] = evidence.aws();
  out["root"]["simulated"] = !evidence.aws();
  out["signature"] = {{"algorithm", "ES384"}, {"key", chain.front().subject()}};
  for (const auto& certificate : chain) out["chain"].push_back(to_json(certificate));
  out["nonce"] = hex_or_null(document.nonce);
  out["user_data"] = hex_or_null(document.user_data);
  out["public_key"] = hex_or_null(document.public_key);
  return dumped(out);
}

std::string refusal_as_json(const Error& error) {
  return dumped({{"verdict", "refused"}, {"doubts", doubts_to_json({{error.message(), error.hint()}})}});
}

}  // namespace cloister::cli
