#include "enclave/order.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/json.h"
#include "sys/dir.h"

namespace cloister::enclave {

namespace {

using http::Json;

Result<std::string> text_of(const Json& object, const char* name, bool required) {
  auto at = object.find(name);
  if (at == object.end()) {
    if (required) return fail(ErrorKind::invalid, "'{}' is missing", name);
    return std::string();
  }
  if (!at->is_string()) return fail(ErrorKind::invalid, "'{}' is not text", name);
  return std::string(at->get_ref<const http::JsonString&>());
}

Status check_members(const Json& object, std::initializer_list<std::string_view> known) {
  for (auto at = object.begin(); at != object.end(); ++at) {
    std::string_view name = at.key();
    if (std::find(known.begin(), known.end(), name) == known.end())
      return fail(ErrorKind::invalid, "unknown member '{}'", name);
  }
  return {};
}

Status set_arguments(JobOrder& order, const Json& object) {
  auto at = object.find("arguments");
  if (at == object.end()) return {};
  if (!at->is_array() || at->size() > kMaxArguments) {
    return fail(ErrorKind::invalid, "'arguments' is not an array of at most {}", kMaxArguments);
  }
  for (const auto& item : *at) {
    if (!item.is_string()) return fail(ErrorKind::invalid, "an argument is not text");
    const auto& text = item.get_ref<const http::JsonString&>();
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

// Straight from the parsed text, which wipes itself.
Result<Secret> secret_of(const Json& object, const char* name) {
  const auto* text = http::find_text(object, name);
  if (text == nullptr || text->empty()) return fail(ErrorKind::invalid, "'{}' is missing or not text", name);
  return Secret(as_bytes(*text));
}

Result<kms::Credentials> credentials_of(const Json& object) {
  auto at = object.find("credentials");
  if (at == object.end() || !at->is_object()) return fail(ErrorKind::invalid, "'credentials' is missing");
  TRY(check_members(*at, {"access_key_id", "secret_access_key", "session_token"}));
  kms::Credentials out;
  out.access_key_id = TRY(text_of(*at, "access_key_id", true));
  out.secret_access_key = TRY(secret_of(*at, "secret_access_key"));
  if (at->contains("session_token")) out.session_token = TRY(secret_of(*at, "session_token"));
  return out;
}

Status set_signers(PinnedSigners& signers, const Json& object) {
  auto at = object.find("signers");
  if (at == object.end() || !at->is_array() || at->empty() || at->size() > kMaxSigners) {
    return fail(ErrorKind::invalid, "'signers' is not an array of 1 to {}", kMaxSigners);
  }
  for (const auto& item : *at) {
    if (!item.is_string()) return fail(ErrorKind::invalid, "a signer is not text");
    auto raw = TRY(from_hex(item.get_ref<const http::JsonString&>()));
    auto& place = signers.fingerprints[signers.count++];
    if (raw.size() != place.size()) return fail(ErrorKind::invalid, "a signer is not a SHA-256 fingerprint");
    std::copy(raw.begin(), raw.end(), place.begin());
  }
  return {};
}

Status set_writes(JobOrder& order, const Json& object) {
  auto at = object.find("allow_writes");
  if (at == object.end()) return {};
  if (!at->is_array()) return fail(ErrorKind::invalid, "'allow_writes' is not an array");
  std::string joined;
  for (const auto& item : *at) {
    if (!item.is_string()) return fail(ErrorKind::invalid, "a directory of 'allow_writes' is not text");
    std::string name(item.get_ref<const http::JsonString&>());
    if (!sys::check_component(name))
      return fail(ErrorKind::invalid, "'allow_writes' holds '{}', which is no directory's name", name);
    joined += name + '/';
    if (joined.size() >= sizeof order.writes.data)
      return fail(ErrorKind::invalid, "'allow_writes' is too long");
  }
  return order.writes.set(joined, "'allow_writes'");
}

Result<bool> flag_of(const Json& object, const char* name) {
  auto at = object.find(name);
  if (at == object.end()) return false;
  if (!at->is_boolean()) return fail(ErrorKind::invalid, "'{}' is not true or false", name);
  return at->get<bool>();
}

Result<sys::seconds> grace_of(const Json& object) {
  auto at = object.find("grace");
  if (at == object.end()) return kDefaultGrace;
  auto seconds = at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
  if (seconds < static_cast<std::uint64_t>(kMinGrace.count()) ||
      seconds > static_cast<std::uint64_t>(kMaxGrace.count())) {
    return fail(ErrorKind::invalid, "'grace' is not a number of seconds between {} and {}", kMinGrace.count(),
                kMaxGrace.count());
  }
  return sys::seconds(seconds);
}

Status set_order(JobOrder& order, const Json& object) {
  TRY(order.package.set(TRY(text_of(object, "package", true)), "'package'"));
  TRY(order.entry.set(TRY(text_of(object, "entry", true)), "'entry'"));
  TRY(order.output.set(TRY(text_of(object, "output", false)), "'output'"));
  TRY(set_signers(order.signers, object));
  TRY(set_writes(order, object));
  order.diagnostics = TRY(flag_of(object, "diagnostics")) ? 1 : 0;
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
  auto object = TRY(http::parse_json(text));
  if (!object.is_object()) return fail(ErrorKind::invalid, "the body is not a JSON object");
  TRY(check_members(object,
                    {"package", "entry", "arguments", "signers", "output", "share_output", "allow_writes",
                     "diagnostics", "grace", "use_fips_endpoint", "use_dualstack_endpoint", "credentials"}));
  PostedJob out;
  // One by one: a TRY that leaves in the midst of an initializer leaks what was initialized before it (GCC).
  out.kms.credentials = TRY(credentials_of(object));
  out.kms.endpoint.fips = TRY(flag_of(object, "use_fips_endpoint"));
  out.kms.endpoint.dualstack = TRY(flag_of(object, "use_dualstack_endpoint"));
  out.order = std::make_unique<JobOrder>();
  out.order->id = fresh_id();
  TRY(set_order(*out.order, object));
  out.share_output = TRY(flag_of(object, "share_output"));
  out.grace = TRY(grace_of(object));
  return out;
}

}  // namespace cloister::enclave
