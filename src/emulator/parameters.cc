#include "emulator/parameters.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "codec/base64.h"
#include "http/json.h"
#include "iam/policy_operators.h"

namespace cloister::emulator {

using json = http::Json;

namespace {

constexpr std::size_t kMaxListEntries = 256;  // tag keys, grant tokens

std::unexpected<Fault> wrong_type(const char* name) {
  return fault("SerializationException", "The value of {} has the wrong type", name);
}

// Limits of texts count characters: JSON is known to be valid UTF-8 here.
std::size_t characters(std::string_view text) {
  constexpr unsigned kContinuationMask = 0xC0;
  constexpr unsigned kContinuation = 0x80;
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & kContinuationMask) != kContinuation; }));
}

std::string at_least(std::size_t min) {
  return fmt::format("Member must have length greater than or equal to {}", min);
}
std::string at_most(std::size_t max) {
  return fmt::format("Member must have length less than or equal to {}", max);
}

Outcome<void> check_length(std::string_view member, const std::string& value, std::size_t min,
                           std::size_t max) {
  auto size = characters(value);
  if (size < min) return invalid_value(value, member, at_least(min));
  if (size > max) return invalid_value(value, member, at_most(max));
  return {};
}

// What is in a blob may be secret: not quoted, as AWS does it.
Outcome<void> check_size(std::string_view member, std::size_t size, std::size_t min, std::size_t max) {
  if (size < min) return invalid_member(member, at_least(min));
  if (size > max) return invalid_member(member, at_most(max));
  return {};
}

}  // namespace

Parameters::Parameters(json members, std::string prefix)
    : members_(std::make_unique<json>(std::move(members))), prefix_(std::move(prefix)) {}
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

std::string Parameters::member(const char* name) const {
  std::string out(name);
  out[0] = iam::to_lower(out.substr(0, 1))[0];
  return prefix_ + out;
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
  TRY(check_length(member(name), out, min, max));
  return out;
}

Outcome<std::string> Parameters::required_text(const char* name, std::size_t min, std::size_t max) const {
  auto value = TRY(text(name, min, max));
  if (!value) return invalid_member(member(name), "Member must not be null");
  return *std::move(value);
}

Outcome<std::optional<std::string>> Parameters::choice(const char* name,
                                                       std::span<const std::string_view> values) const {
  const auto* value = find(name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong_type(name);
  auto out = value->get<std::string>();
  if (std::ranges::find(values, out) != values.end()) return out;
  return invalid_value(
      out, member(name),
      fmt::format("Member must satisfy enum value set: [{}]", fmt::join(values.begin(), values.end(), ", ")));
}

Outcome<std::optional<Bytes>> Parameters::blob(const char* name, std::size_t min, std::size_t max) const {
  const auto* value = find(name);
  if (value == nullptr) return std::optional<Bytes>();
  if (!value->is_string()) return wrong_type(name);
  auto decoded = codec::from_base64(value->get_ref<const http::JsonString&>());
  if (!decoded) return fault("SerializationException", "The value of {} is not base64", name);
  TRY(check_size(member(name), decoded->size(), min, max));
  return std::optional(*std::move(decoded));
}

Outcome<Bytes> Parameters::required_blob(const char* name, std::size_t min, std::size_t max) const {
  auto value = TRY(blob(name, min, max));
  if (!value) return invalid_member(member(name), "Member must not be null");
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
  auto shown = std::string(http::format_json(*value));
  if (huge || number > max) {
    return invalid_value(shown, member(name),
                         fmt::format("Member must have value less than or equal to {}", max));
  }
  if (number < min) {
    return invalid_value(shown, member(name),
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
  return std::optional(Parameters(*value, member(name) + "."));
}

bool Parameters::has(const char* name) const {
  return find(name) != nullptr;
}

Outcome<std::vector<std::string>> Parameters::texts(const char* name, std::size_t min,
                                                    std::size_t max) const {
  std::vector<std::string> out;
  const auto* list = find(name);
  if (list == nullptr) return out;
  if (!list->is_array()) return wrong_type(name);
  if (list->size() > kMaxListEntries) return fault("ValidationException", "{} has too many entries", name);
  for (const auto& entry : *list) {
    if (!entry.is_string()) return wrong_type(name);
    out.push_back(entry.get<std::string>());
    TRY(check_length(fmt::format("{}.{}.member", member(name), out.size()), out.back(), min, max));
  }
  return out;
}

Outcome<EncryptionContext> Parameters::encryption_context(const char* name) const {
  EncryptionContext out;
  const auto* value = find(name);
  if (value == nullptr) return out;
  if (!value->is_object()) return wrong_type(name);
  if (value->size() > kMaxContextEntries)
    return invalid_member(member(name), "Member must have fewer entries");
  std::set<std::string> folded;
  std::size_t total = 0;
  for (const auto& [key, entry] : value->items()) {
    if (!entry.is_string()) return wrong_type(name);
    std::string entry_name(key);
    total += entry_name.size() + entry.get_ref<const http::JsonString&>().size();
    if (!folded.insert(iam::to_lower(entry_name)).second) {
      return fault("ValidationException", "Two keys of the encryption context differ by case only");
    }
    out[entry_name] = entry.get<std::string>();
  }
  if (total > kMaxContextBytes)
    return fault("ValidationException", "The encryption context is longer than {} bytes", kMaxContextBytes);
  return out;
}

Outcome<std::vector<Tag>> Parameters::tags() const {
  std::vector<Tag> out;
  const auto* list = find("Tags");
  if (list == nullptr) return out;
  if (!list->is_array()) return wrong_type("Tags");
  if (list->size() > kMaxTags) return fault("TagException", "Too many tags");
  std::set<std::string> seen;
  for (const auto& entry : *list) {
    if (!entry.is_object()) return wrong_type("Tags");
    const auto* key = http::find_text(entry, "TagKey");
    const auto* value = http::find_text(entry, "TagValue");
    auto place = fmt::format("tags.{}.member", out.size() + 1);
    if (key == nullptr) return invalid_member(place + ".tagKey", "Member must not be null");
    if (value == nullptr) return invalid_member(place + ".tagValue", "Member must not be null");
    Tag tag{.key = std::string(*key), .value = std::string(*value)};
    TRY(check_length(place + ".tagKey", tag.key, 1, kMaxTagKey));
    TRY(check_length(place + ".tagValue", tag.value, 0, kMaxTagValue));
    if (iam::to_lower(tag.key).starts_with("aws:"))
      return fault("TagException", "Tags beginning with aws: are reserved");
    if (!seen.insert(tag.key).second) return fault("TagException", "Duplicate tag keys");
    out.push_back(std::move(tag));
  }
  return out;
}

}  // namespace cloister::emulator
