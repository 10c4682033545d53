#include "emulator/authorization_header.h"

#include <algorithm>

namespace cloister::emulator {

namespace {

constexpr std::string_view kTerminator = "aws4_request";
constexpr std::size_t kCredentialElements = 5;

// The value of "Name=value" among the comma-separated parts.
std::optional<std::string_view> part_of(std::string_view authorization, std::string_view name) {
  while (!authorization.empty()) {
    auto end = std::min(authorization.find_first_of(", "), authorization.size());
    auto part = authorization.substr(0, end);
    authorization.remove_prefix(std::min(end + 1, authorization.size()));
    if (part.size() > name.size() && part.starts_with(name) && part[name.size()] == '=')
      return part.substr(name.size() + 1);
  }
  return {};
}

// AWS lists all that is missing at once.
std::string missing_parts(const http::Request& request) {
  auto authorization = request.fields.get("Authorization");
  bool ours = authorization.starts_with(kms::kSigningAlgorithm);
  std::string out;
  for (const char* name : {"Credential", "Signature", "SignedHeaders"}) {
    if (ours && part_of(authorization, name)) continue;
    out += fmt::format("{}Authorization header requires '{}' parameter.", out.empty() ? "" : " ", name);
  }
  if (request.fields.get("X-Amz-Date").empty()) {
    out +=
        fmt::format("{}Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
                    out.empty() ? "" : " ");
  }
  return out;
}

Outcome<void> check_credential(std::string_view credential) {
  auto elements = static_cast<std::size_t>(std::count(credential.begin(), credential.end(), '/')) + 1;
  if (elements != kCredentialElements) {
    return fault(
        "IncompleteSignatureException",
        "Credential must have exactly {} slash-delimited elements, e.g. keyid/date/region/service/term",
        kCredentialElements);
  }
  if (credential.substr(credential.rfind('/') + 1) != kTerminator) {
    return fault("InvalidSignatureException", "Credential should be scoped with a valid terminator: '{}'. ",
                 kTerminator);
  }
  return {};
}

Outcome<void> check_signed_headers(std::string_view list) {
  bool has_host = false;
  while (!list.empty()) {
    auto end = std::min(list.find(';'), list.size());
    has_host = has_host || list.substr(0, end) == "host";
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  if (has_host) return {};
  return fault("InvalidSignatureException",
               "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
}

}  // namespace

Outcome<kms::ParsedAuthorization> read_authorization(const http::Request& request) {
  auto authorization = request.fields.get("Authorization");
  if (authorization.empty())
    return fault("MissingAuthenticationTokenException", "Missing Authentication Token");
  auto missing = missing_parts(request);
  if (!missing.empty()) return fault("IncompleteSignatureException", "{}", missing);
  TRY(check_credential(part_of(authorization, "Credential").value_or("")));
  TRY(check_signed_headers(part_of(authorization, "SignedHeaders").value_or("")));
  auto parsed = kms::parse_authorization(authorization);
  if (!parsed) return fault("IncompleteSignatureException", "{}", parsed.error().message());
  return *std::move(parsed);
}

}  // namespace cloister::emulator
