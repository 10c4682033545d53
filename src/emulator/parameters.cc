#include "emulator/parameters.h"

#include <nlohmann/json.hpp>
#include <set>

#include "codec/base64.h"
#include "emulator/policy_operators.h"
#include "http/json.h"

namespace cloister::emulator {

using json = http::Json;

namespace {

std::unexpected<Fault> wrong_type(const char* name) {
  return fault("SerializationException", "The value of {} has the wrong type", name);
}

std::string member_name(const char* name) {
  std::string out(name);
  out[0] = to_lower(out.substr(0, 1))[0];
  return out;
}

Outcome<void> check_size(const char* name, std::size_t size, std::size_t min, std::size_t max,
                         std::string_view what) {
  if (size < min)
    return invalid_member(member_name(name),
                          fmt::format("Member must have {} greater than or equal to {}", what, min));
  if (size > max)
    return invalid_member(member_name(name),
                          fmt::format("Member must have {} less than or equal to {}", what, max));
  return {};
}

std::unexpected<Fault> missing(const char* name) {
  return invalid_member(member_name(name), "Member must not be null");
}

}  // namespace

Parameters::Parameters(json members) : members_(std::make_unique<json>(std::move(members))) {}
Parameters::Parameters(Parameters&&) noexcept = default;
Parameters::~Parameters() = default;

Outcome<Parameters> Parameters::parse(std::string_view body) {
  if (body.empty()) return Parameters(json::object());
  auto value = http::parse_json(body);
  if (!value)
    return fault("SerializationException", "The request body is refused: {}", value.error().message());
  if (!value->is_object()) return fault("SerializationException", "The request body is not a JSON object");
  return Parameters(*std::move(value));
}

const json* Parameters::find(const char* name) const {
  auto found = members_->find(name);
  return found == members_->end() || found->is_null() ? nullptr : &*found;
}

Outcome<std::optional<std::string>> Parameters::text(const char* name, std::size_t min,
                                                     std::size_t max) const {
  const auto* value = find(name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong_type(name);
  auto out = value->get<std::string>();
  TRY(check_size(name, out.size(), min, max, "length"));
  return out;
}

Outcome<std::string> Parameters::required_text(const char* name, std::size_t min, std::size_t max) const {
  auto value = TRY(text(name, min, max));
  if (!value) return missing(name);
  return *std::move(value);
}

Outcome<std::optional<Bytes>> Parameters::blob(const char* name, std::size_t min, std::size_t max) const {
  const auto* value = find(name);
  if (value == nullptr) return std::optional<Bytes>();
  if (!value->is_string()) return wrong_type(name);
  auto decoded = codec::from_base64(value->get_ref<const http::JsonString&>());
  if (!decoded) return fault("SerializationException", "The value of {} is not base64", name);
  TRY(check_size(name, decoded->size(), min, max, "length"));
  return std::optional(*std::move(decoded));
}

Outcome<Bytes> Parameters::required_blob(const char* name, std::size_t min, std::size_t max) const {
  auto value = TRY(blob(name, min, max));
  if (!value) return missing(name);
  return *std::move(value);
}

Outcome<std::optional<std::int64_t>> Parameters::integer(const char* name, std::int64_t min,
                                                         std::int64_t max) const {
  const auto* value = find(name);
  if (value == nullptr) return std::optional<std::int64_t>();
  if (!value->is_number_integer()) return wrong_type(name);
  // Numbers over 2^63 would wrap.
  bool huge = value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(max);
  auto number = huge ? max : value->get<std::int64_t>();
  if (huge || number > max) {
    return invalid_member(member_name(name),
                          fmt::format("Member must have value less than or equal to {}", max));
  }
  if (number < min) {
    return invalid_member(member_name(name),
                          fmt::format("Member must have value greater than or equal to {}", min));
  }
  return number;
}

Outcome<bool> Parameters::flag(const char* name) const {
  const auto* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) return wrong_type(name);
  return value->get<bool>();
}

Outcome<std::optional<Parameters>> Parameters::object(const char* name) const {
  const auto* value = find(name);
  if (value == nullptr) return std::optional<Parameters>();
  if (!value->is_object()) return wrong_type(name);
  return std::optional(Parameters(*value));
}

Outcome<EncryptionContext> Parameters::encryption_context() const {
  EncryptionContext out;
  const auto* value = find("EncryptionContext");
  if (value == nullptr) return out;
  if (!value->is_object()) return wrong_type("EncryptionContext");
  if (value->size() > kMaxContextEntries)
    return invalid_member("encryptionContext", "Member must have fewer entries");
  std::set<std::string> folded;
  std::size_t total = 0;
  for (const auto& [key, entry] : value->items()) {
    if (!entry.is_string()) return wrong_type("EncryptionContext");
    std::string name(key);
    total += name.size() + entry.get_ref<const http::JsonString&>().size();
    if (!folded.insert(to_lower(name)).second) {
      return fault("ValidationException", "Two keys of the encryption context differ by case only");
    }
    out[name] = entry.get<std::string>();
  }
  if (total > kMaxContextBytes)
    return fault("ValidationException", "The encryption context is longer than {} bytes", kMaxContextBytes);
  return out;
}

Outcome<std::string> Parameters::tags() const {
  const auto* value = find("Tags");
  if (value == nullptr) return "[]";
  if (!value->is_array()) return wrong_type("Tags");
  if (value->size() > kMaxTags) return fault("LimitExceededException", "A key has at most {} tags", kMaxTags);
  json out = json::array();
  std::set<std::string> seen;
  for (const auto& tag : *value) {
    bool shaped = tag.is_object() && tag.contains("TagKey") && tag.contains("TagValue") &&
                  tag.at("TagKey").is_string() && tag.at("TagValue").is_string();
    if (!shaped) return wrong_type("Tags");
    auto name = tag.at("TagKey").get<std::string>();
    auto text = tag.at("TagValue").get<std::string>();
    constexpr std::size_t kMaxTagKey = 128;    // characters
    constexpr std::size_t kMaxTagValue = 256;  // characters
    bool fits = !name.empty() && name.size() <= kMaxTagKey && text.size() <= kMaxTagValue;
    if (!fits || name.starts_with("aws:")) return fault("TagException", "A tag is not valid");
    if (!seen.insert(name).second) return fault("TagException", "Duplicate tag keys");
    out.push_back({{"TagKey", name}, {"TagValue", text}});
  }
  return std::string(http::format_json(out));
}

}  // namespace cloister::emulator
