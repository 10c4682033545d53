#include "enclave/order.h"

#include <nlohmann/json.hpp>

namespace cloister::enclave {

namespace {

using nlohmann::json;

Result<std::string> text_of(const json& object, const char* name, bool required) {
  auto at = object.find(name);
  if (at == object.end()) {
    if (required) return fail(ErrorKind::invalid, "'{}' is missing", name);
    return std::string();
  }
  if (!at->is_string()) return fail(ErrorKind::invalid, "'{}' is not text", name);
  return at->get<std::string>();
}

Status check_members(const json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return fail(ErrorKind::invalid, "unknown member '{}'", name);
  }
  return {};
}

Status set_arguments(JobOrder& order, const json& object) {
  auto at = object.find("arguments");
  if (at == object.end()) return {};
  if (!at->is_array() || at->size() > kMaxArguments) {
    return fail(ErrorKind::invalid, "'arguments' is not an array of at most {}", kMaxArguments);
  }
  for (const auto& item : *at) {
    if (!item.is_string()) return fail(ErrorKind::invalid, "an argument is not text");
    const auto& text = item.get_ref<const std::string&>();
    if (text.find('\0') != std::string::npos) return fail(ErrorKind::invalid, "an argument holds a NUL byte");
    if (order.argument_bytes + text.size() + 1 > kMaxArgumentBytes) {
      return fail(ErrorKind::invalid, "the arguments are longer than {} bytes", kMaxArgumentBytes);
    }
    std::copy(text.begin(), text.end(), order.arguments + order.argument_bytes);
    order.argument_bytes += static_cast<std::uint32_t>(text.size()) + 1;
    ++order.argument_count;
  }
  return {};
}

Result<kms::Credentials> credentials_of(json& object) {
  auto at = object.find("credentials");
  if (at == object.end() || !at->is_object()) return fail(ErrorKind::invalid, "'credentials' is missing");
  TRY(check_members(*at, {"access_key_id", "secret_access_key", "session_token"}));
  kms::Credentials out;
  out.access_key_id = TRY(text_of(*at, "access_key_id", true));
  auto secret = TRY(text_of(*at, "secret_access_key", true));
  auto token = TRY(text_of(*at, "session_token", false));
  out.secret_access_key = Secret(as_bytes(secret));
  if (!token.empty()) out.session_token = Secret(as_bytes(token));
  wipe(secret);
  wipe(token);
  for (auto& [name, value] : at->items()) wipe(value.get_ref<std::string&>());
  return out;
}

Status set_signers(PinnedSigners& signers, const json& object) {
  auto at = object.find("signers");
  if (at == object.end() || !at->is_array() || at->empty() || at->size() > kMaxSigners) {
    return fail(ErrorKind::invalid, "'signers' is not an array of 1 to {}", kMaxSigners);
  }
  for (const auto& item : *at) {
    if (!item.is_string()) return fail(ErrorKind::invalid, "a signer is not text");
    auto raw = TRY(from_hex(item.get_ref<const std::string&>()));
    auto& place = signers.fingerprints[signers.count++];
    if (raw.size() != place.size()) return fail(ErrorKind::invalid, "a signer is not a SHA-256 fingerprint");
    std::copy(raw.begin(), raw.end(), place.begin());
  }
  return {};
}

Status set_order(JobOrder& order, const json& object) {
  TRY(order.package.set(TRY(text_of(object, "package", true)), "'package'"));
  TRY(order.entry.set(TRY(text_of(object, "entry", true)), "'entry'"));
  TRY(order.output.set(TRY(text_of(object, "output", false)), "'output'"));
  TRY(set_signers(order.signers, object));
  return set_arguments(order, object);
}

JobId fresh_id() {
  ByteArray<8> raw;
  crypto::fill_random(raw);
  JobId id = 0;
  for (auto byte : raw) id = id << 8 | byte;
  return id;
}

}  // namespace

Result<PostedJob> parse_posted_job(std::string_view text) {
  auto object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return fail(ErrorKind::invalid, "the body is not a JSON object");
  TRY(check_members(object,
                    {"package", "entry", "arguments", "signers", "output", "share_output", "credentials"}));
  PostedJob out;
  out.credentials = TRY(credentials_of(object));
  out.order = std::make_unique<JobOrder>();
  out.order->id = fresh_id();
  TRY(set_order(*out.order, object));
  auto share = object.find("share_output");
  if (share != object.end() && !share->is_boolean())
    return fail(ErrorKind::invalid, "'share_output' is not true or false");
  out.share_output = share != object.end() && share->get<bool>();
  return out;
}

}  // namespace cloister::enclave
