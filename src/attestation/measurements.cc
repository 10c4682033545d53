#include "attestation/measurements.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

namespace cloister::attestation {

namespace {

using nlohmann::ordered_json;

constexpr std::string_view kHashAlgorithm = "Sha384 { ... }";
constexpr std::string_view kHashFamily = "Sha384";
// The same by its other name: AWS's tools print how their library calls its type, and since the crate
// aws-nitro-enclaves-image-format 0.8 that is "Sha512_48 { .. }", SHA-512 cut to 48 bytes, which SHA-384 is.
constexpr std::string_view kHashFamilySince08 = "Sha512_48";
constexpr std::string_view kPcrKey = "PCR";

// The library lets the last of two equal keys win; two readers of one file must not see two images.
Result<nlohmann::json> parse_unique(std::string_view text) {
  if (text.size() > kMaxMeasurementsFile) {
    return fail(ErrorKind::invalid, "larger than {} bytes", kMaxMeasurementsFile);
  }
  bool duplicate = false;
  std::vector<std::set<std::string>> objects;
  using Event = nlohmann::json::parse_event_t;
  auto watch = [&](int, Event event, nlohmann::json& parsed) {
    if (event == Event::object_start) objects.emplace_back();
    if (event == Event::object_end) objects.pop_back();
    if (event == Event::key) duplicate |= !objects.back().insert(parsed.get<std::string>()).second;
    return true;
  };
  auto json = nlohmann::json::parse(text, watch, false);
  if (json.is_discarded()) return fail(ErrorKind::invalid, "not JSON");
  if (duplicate) return fail(ErrorKind::invalid, "a key stands twice");
  return json;
}

// "PCR0" to "PCR31", no leading zeros.
Result<unsigned> parse_index(std::string_view key) {
  auto digits = key.substr(std::min(key.size(), kPcrKey.size()));
  unsigned index = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!key.starts_with(kPcrKey) || !whole || index >= kMaxPcrs || std::to_string(index) != digits) {
    return fail(ErrorKind::invalid, "an unknown entry");
  }
  return index;
}

Result<Pcr> parse_value(unsigned index, const nlohmann::json& value) {
  if (!value.is_string()) return fail(ErrorKind::invalid, "PCR{}: not a string", index);
  auto pcr = TRY(from_hex(value.get_ref<const std::string&>()).context(fmt::format("PCR{}", index)));
  if (pcr.size() != kPcrSize)
    return fail(ErrorKind::invalid, "PCR{}: not {} hexadecimal digits", index, 2 * kPcrSize);
  if (all_zero(pcr))
    return fail(ErrorKind::invalid, "PCR{}: zero, as in debug mode, identifies nothing", index);
  return pcr;
}

Status check_algorithm(const nlohmann::json& entries) {
  auto found = entries.find("HashAlgorithm");
  bool text = found != entries.end() && found->is_string();
  auto name = text ? std::string_view(found->get_ref<const std::string&>()) : std::string_view();
  if (!name.starts_with(kHashFamily) && !name.starts_with(kHashFamilySince08))
    return fail(ErrorKind::invalid, "HashAlgorithm: not {}", kHashFamily);
  return {};
}

Result<Measurements> parse(std::string_view text) {
  auto json = TRY(parse_unique(text));
  if (!json.is_object() || !json.contains("Measurements") || !json["Measurements"].is_object()) {
    return fail(ErrorKind::invalid, "no object named Measurements");
  }
  const auto& entries = json["Measurements"];
  TRY(check_algorithm(entries));
  Measurements measurements;
  for (const auto& [key, value] : entries.items()) {
    if (key == "HashAlgorithm") continue;
    auto index = TRY(parse_index(key));
    measurements.pcrs.emplace(index, TRY(parse_value(index, value)));
  }
  if (!measurements.pcrs.contains(0)) return fail(ErrorKind::invalid, "PCR0 is missing");
  return measurements;
}

}  // namespace

Result<Measurements> Measurements::from_json(std::string_view json) {
  return parse(json).context("measurements");
}

std::string Measurements::to_json() const {
  ordered_json entries;
  entries["HashAlgorithm"] = kHashAlgorithm;
  for (const auto& [index, value] : pcrs) entries[fmt::format("{}{}", kPcrKey, index)] = to_hex(value);
  ordered_json json;
  json["Measurements"] = std::move(entries);
  if (simulated()) json["Simulated"] = true;
  return json.dump(2) + "\n";
}

bool Measurements::simulated() const {
  return std::ranges::any_of(
      pcrs, [](const auto& entry) { return as_text(entry.second).starts_with(kSimulatedPrefix); });
}

Status Measurements::check(const Document& document) const {
  if (!pcrs.contains(0)) return fail(ErrorKind::denied, "measurements: PCR0 is not among the expected ones");
  for (const auto& [index, expected] : pcrs) {
    auto difference = compare(document, index, expected).difference();
    if (!difference.empty()) return fail(ErrorKind::denied, "{}", difference);
  }
  return {};
}

std::string Comparison::difference() const {
  if (!found) return fmt::format("PCR{}: not in the document", index);
  if (all_zero(*found)) return fmt::format("PCR{}: zero (an enclave in debug mode?)", index);
  if (*found == expected) return {};
  return fmt::format("PCR{}: {} expected, {} found", index, to_hex(expected), to_hex(*found));
}

Comparison compare(const Document& document, unsigned index, const Pcr& expected) {
  auto found = document.pcrs.find(index);
  return {.index = index,
          .expected = expected,
          .found = found == document.pcrs.end() ? std::nullopt : std::optional(found->second)};
}

}  // namespace cloister::attestation
