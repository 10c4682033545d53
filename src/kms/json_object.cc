#include "kms/json_object.h"

#include "codec/base64.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxContextPairs = 256;

// base64 grows four thirds.
std::size_t encoded_size(std::size_t bytes) {
  return (bytes + 2) / 3 * 4;
}

}  // namespace

Result<ObjectReader> ObjectReader::parse(std::string_view body, ErrorKind kind) {
  auto parsed = http::parse_json(body);
  if (!parsed) return fail(kind, "{}", parsed.error().message());
  auto owned = std::make_shared<const Json>(*std::move(parsed));
  auto reader = TRY(nested(*owned, kind));
  reader.owned_ = std::move(owned);
  return reader;
}

Result<ObjectReader> ObjectReader::nested(const Json& object, ErrorKind kind) {
  if (!object.is_object()) return fail(kind, "JSON: an object is wanted");
  return ObjectReader(object, kind);
}

const Json* ObjectReader::find(const char* name) const {
  auto member = object_->find(JsonString(name));
  return member == object_->end() || member->is_null() ? nullptr : &*member;
}

Result<ObjectReader> ObjectReader::object(const char* name) const {
  const auto* member = find(name);
  if (member == nullptr) return refuse("{} is missing", name);
  if (!member->is_object()) return refuse("{} is not an object", name);
  return ObjectReader(*member, kind_);
}

Result<std::string> ObjectReader::text(const char* name, Length length) const {
  const auto* member = find(name);
  if (member == nullptr) return refuse("{} is missing", name);
  if (!member->is_string()) return refuse("{} is not a string", name);
  const auto& value = member->get_ref<const JsonString&>();
  if (value.size() < length.min || value.size() > length.max) {
    return refuse("{} is not {} to {} bytes long", name, length.min, length.max);
  }
  return std::string(std::string_view(value));
}

Result<std::string> ObjectReader::text_or(const char* name, Length length, std::string_view absent) const {
  if (!has(name)) return std::string(absent);
  return text(name, length);
}

Result<Bytes> ObjectReader::blob(const char* name, Length length) const {
  auto encoded = TRY(text(name, {0, encoded_size(length.max)}));
  auto decoded = codec::from_base64(encoded);
  wipe(encoded);
  if (!decoded) return refuse("{} is not base64", name);
  if (decoded->size() < length.min || decoded->size() > length.max) {
    return refuse("{} is not {} to {} bytes long", name, length.min, length.max);
  }
  return decoded;
}

Result<Bytes> ObjectReader::blob_or_empty(const char* name, std::size_t max) const {
  if (!has(name)) return Bytes();
  return blob(name, {0, max});
}

Result<bool> ObjectReader::boolean_or(const char* name, bool absent) const {
  const auto* member = find(name);
  if (member == nullptr) return absent;
  if (!member->is_boolean()) return refuse("{} is not a boolean", name);
  return member->get<bool>();
}

Result<unsigned> ObjectReader::number_or(const char* name, unsigned min, unsigned max,
                                         unsigned absent) const {
  const auto* member = find(name);
  if (member == nullptr) return absent;
  if (!member->is_number_unsigned()) return refuse("{} is not a whole number", name);
  auto value = member->get<std::uint64_t>();
  if (value < min || value > max) return refuse("{} is not between {} and {}", name, min, max);
  return static_cast<unsigned>(value);
}

Result<std::optional<double>> ObjectReader::seconds(const char* name) const {
  const auto* member = find(name);
  if (member == nullptr) return std::optional<double>();
  if (!member->is_number()) return refuse("{} is not a number", name);
  return std::optional(member->get<double>());
}

Result<EncryptionContext> ObjectReader::context() const {
  EncryptionContext out;
  if (!has("EncryptionContext")) return out;
  auto pairs = TRY(object("EncryptionContext"));
  if (pairs.object_->size() > kMaxContextPairs) return refuse("EncryptionContext has too many pairs");
  std::size_t total = 0;
  for (const auto& [name, value] : pairs.object_->items()) {
    if (!value.is_string()) return refuse("EncryptionContext has a value that is not a string");
    const auto& text = value.get_ref<const JsonString&>();
    total += name.size() + text.size();
    if (name.empty() || total > kMaxContextBytes)
      return refuse("EncryptionContext is too long or has an empty name");
    out.emplace(std::string_view(name), std::string_view(text));
  }
  return out;
}

Result<std::optional<Recipient>> ObjectReader::recipient() const {
  if (!has("Recipient")) return std::optional<Recipient>();
  auto member = TRY(object("Recipient"));
  Recipient out;
  out.key_encryption_algorithm = TRY(member.text("KeyEncryptionAlgorithm", {1, 64}));
  if (out.key_encryption_algorithm != kRecipientAlgorithm) return refuse("unknown KeyEncryptionAlgorithm");
  out.attestation_document = TRY(member.blob("AttestationDocument", {1, kMaxAttestationBytes}));
  return std::optional(std::move(out));
}

Result<std::vector<ObjectReader>> ObjectReader::array(const char* name, std::size_t max) const {
  std::vector<ObjectReader> out;
  const auto* member = find(name);
  if (member == nullptr) return out;
  if (!member->is_array() || member->size() > max)
    return refuse("{} is not an array of at most {}", name, max);
  for (const auto& item : *member) out.push_back(TRY(nested(item, kind_)));
  return out;
}

Result<std::vector<std::string>> ObjectReader::texts(const char* name, Length each, std::size_t max) const {
  std::vector<std::string> out;
  const auto* member = find(name);
  if (member == nullptr) return out;
  if (!member->is_array() || member->size() > max)
    return refuse("{} is not an array of at most {}", name, max);
  for (const auto& item : *member) {
    if (!item.is_string()) return refuse("{} holds an entry that is not a string", name);
    const auto& entry = item.get_ref<const JsonString&>();
    if (entry.size() < each.min || entry.size() > each.max)
      return refuse("{} holds an entry that is not {} to {} bytes long", name, each.min, each.max);
    out.emplace_back(std::string_view(entry));
  }
  return out;
}

ObjectWriter& ObjectWriter::text(std::string_view name, std::string_view value) {
  object_[JsonString(name)] = JsonString(value);
  return *this;
}

ObjectWriter& ObjectWriter::text_unless_empty(std::string_view name, std::string_view value) {
  return value.empty() ? *this : text(name, value);
}

ObjectWriter& ObjectWriter::blob(std::string_view name, ByteView value) {
  auto encoded = codec::to_base64(value);
  text(name, encoded);
  wipe(encoded);
  return *this;
}

ObjectWriter& ObjectWriter::blob_unless_empty(std::string_view name, ByteView value) {
  return value.empty() ? *this : blob(name, value);
}

ObjectWriter& ObjectWriter::value(std::string_view name, Json value) {
  object_[JsonString(name)] = std::move(value);
  return *this;
}

ObjectWriter& ObjectWriter::context(const EncryptionContext& context) {
  if (context.empty()) return *this;
  ObjectWriter pairs;
  for (const auto& [name, value] : context) pairs.text(name, value);
  return value("EncryptionContext", pairs.take());
}

ObjectWriter& ObjectWriter::recipient(const std::optional<Recipient>& recipient) {
  if (!recipient) return *this;
  ObjectWriter member;
  member.text("KeyEncryptionAlgorithm", recipient->key_encryption_algorithm);
  member.blob("AttestationDocument", recipient->attestation_document);
  return value("Recipient", member.take());
}

}  // namespace cloister::kms
