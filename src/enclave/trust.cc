#include "enclave/trust.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/json.h"
#include "kms/arn.h"
#include "kms/partition.h"
#include "sys/file.h"

namespace cloister::enclave {

namespace {

using http::Json;

Result<Mode> mode_from(std::string_view text) {
  if (text == "simulated") return Mode::simulated;
  if (text == "emulated") return Mode::emulated;
  if (text == "production") return Mode::production;
  return fail(ErrorKind::invalid, "mode '{}' is none of simulated, emulated, production", text);
}

// A member of the given type, taken out of the object: what is left at the end is unknown.
Result<Json> take(Json& object, const char* name, Json::value_t type) {
  auto at = object.find(name);
  if (at == object.end() || at->type() != type)
    return fail(ErrorKind::invalid, "'{}' is missing or of the wrong type", name);
  Json value = std::move(*at);
  object.erase(at);
  return value;
}

Result<std::string> take_text(Json& object, const char* name) {
  return std::string(TRY(take(object, name, Json::value_t::string)).get_ref<const http::JsonString&>());
}

Result<std::vector<std::string>> texts(const Json& array, std::string_view what) {
  std::vector<std::string> out;
  for (const auto& item : array) {
    if (!item.is_string()) return fail(ErrorKind::invalid, "'{}' holds something that is not text", what);
    out.emplace_back(item.get_ref<const http::JsonString&>());
  }
  return out;
}

Result<kms::EndpointVariant> variant_from(std::string_view text) {
  for (auto variant : kms::kEndpointVariants) {
    if (to_string(variant) == text) return variant;
  }
  return fail(ErrorKind::invalid, "'{}' is none of standard, fips, dualstack, fips-dualstack", text);
}

// {"standard": PATTERN, "fips": PATTERN…}, at least one. A pattern that makes no host name is refused here,
// where its writer sees it, and not by the first job.
Result<std::map<kms::EndpointVariant, std::string>> endpoints_from(std::string_view partition,
                                                                   const Json& object) {
  kms::KeyArn example{
      .partition = std::string(partition), .region = "us-east-1", .account = {}, .key_id = {}};
  std::map<kms::EndpointVariant, std::string> out;
  if (kms::find_partition(partition) == nullptr) return fail(ErrorKind::invalid, "unknown partition");
  if (!object.is_object() || object.empty())
    return fail(ErrorKind::invalid, "not an object with a variant in it");
  for (auto at = object.begin(); at != object.end(); ++at) {
    std::string name(at.key());
    auto variant = TRY(variant_from(name));
    const auto* pattern = http::find_text(object, name);
    if (pattern == nullptr) return fail(ErrorKind::invalid, "'{}' is not text", name);
    TRY(kms::endpoint_host(example, *pattern));
    out[variant] = *pattern;
  }
  return out;
}

Result<Trust> from_json(Json& root) {
  Trust trust;
  if (TRY(take(root, "version", Json::value_t::number_unsigned)) != 1)
    return fail(ErrorKind::invalid, "version is not 1");
  trust.mode = TRY(mode_from(TRY(take_text(root, "mode"))));
  auto endpoints = TRY(take(root, "kms_endpoints", Json::value_t::object));
  for (auto at = endpoints.begin(); at != endpoints.end(); ++at) {
    std::string partition(at.key());
    trust.kms_endpoints[partition] =
        TRY(endpoints_from(partition, at.value()).context(fmt::format("kms_endpoints.{}", partition)));
  }
  auto bundle = TRY(take_text(root, "kms_ca_bundle"));
  trust.kms_authorities = TRY(crypto::Certificate::list_from_pem(as_bytes(bundle)).context("kms_ca_bundle"));
  auto count = trust.kms_authorities.size();
  if (count == 0 || count > kMaxTrustedAuthorities)
    return fail(ErrorKind::invalid, "kms_ca_bundle holds {} certificates", count);
  trust.required_walls =
      TRY(texts(TRY(take(root, "required_walls", Json::value_t::array)), "required_walls"));
  if (!root.empty())
    return fail(ErrorKind::invalid, "unknown member '{}'", std::string_view(root.begin().key()));
  return trust;
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::simulated:
      return "simulated";
    case Mode::emulated:
      return "emulated";
    case Mode::production:
      return "production";
  }
  return "unknown";
}

Result<Trust> Trust::parse(ByteView text) {
  if (text.size() > kMaxTrustFile)
    return fail(ErrorKind::exhausted, "the trust file is larger than {} bytes", kMaxTrustFile);
  auto root = TRY(http::parse_json(as_text(text)).context("trust file"));
  if (!root.is_object()) return fail(ErrorKind::invalid, "the trust file is not a JSON object");
  return from_json(root).context("trust file");
}

Result<Trust> Trust::load(const std::string& path, const std::vector<Mode>& modes) {
  auto trust = TRY(parse(TRY(sys::read_file(path, kMaxTrustFile))));
  if (std::find(modes.begin(), modes.end(), trust.mode) == modes.end()) {
    return fail(ErrorKind::denied, "the trust file is of mode '{}', for which this program is not built",
                to_string(trust.mode));
  }
  return trust;
}

Result<std::string> Trust::kms_host(std::string_view key_arn, kms::EndpointVariant variant) const {
  auto arn = TRY(kms::KeyArn::parse(key_arn));
  auto listed = kms_endpoints.find(arn.partition);
  if (listed == kms_endpoints.end()) {
    return fail(ErrorKind::denied, "this enclave trusts no KMS for keys of partition '{}'", arn.partition);
  }
  auto pattern = listed->second.find(variant);
  if (pattern == listed->second.end()) {
    Error error(ErrorKind::denied,
                fmt::format("this enclave trusts no {} KMS endpoint for keys of partition '{}'",
                            to_string(variant), arn.partition));
    return std::unexpected(std::move(error).with_hint(fmt::format(
        "it trusts the {} one: set or unset AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT so",
        to_string(listed->second.begin()->first))));
  }
  return kms::endpoint_host(arn, pattern->second);
}

}  // namespace cloister::enclave
