#include "emulator/authenticate.h"

#include "emulator/api.h"
#include "kms/sigv4.h"
#include "kms/times.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kService = "kms";

std::unexpected<Fault> invalid_signature(std::string message) {
  return fault("InvalidSignatureException", "{}", message);
}

Outcome<void> check_date(std::string_view amz_date, sys::UnixMillis now) {
  auto signed_at = kms::parse_amz_date(amz_date);
  if (!signed_at) {
    return fault("IncompleteSignatureException",
                 "Date must be in ISO-8601 'basic format'. Got '{}'. See "
                 "http://en.wikipedia.org/wiki/ISO_8601",
                 amz_date);
  }
  constexpr auto kMinutes = kMaxClockSkew / 60'000;
  auto earliest = kms::format_amz_date(now - kMaxClockSkew);
  auto latest = kms::format_amz_date(now + kMaxClockSkew);
  auto server = kms::format_amz_date(now);
  if (*signed_at < now - kMaxClockSkew) {
    return invalid_signature(fmt::format("Signature expired: {} is now earlier than {} ({} - {} min.)",
                                         amz_date, earliest, server, kMinutes));
  }
  if (*signed_at > now + kMaxClockSkew) {
    return invalid_signature(
        fmt::format("Signature not yet current: {} is still later than {} ({} + {} min.)", amz_date, latest,
                    server, kMinutes));
  }
  return {};
}

Outcome<void> check_scope(const kms::SigningScope& scope, std::string_view region) {
  if (scope.region != region) {
    return invalid_signature(
        fmt::format("Credential should be scoped to a valid region, not '{}'. ", scope.region));
  }
  if (scope.service != kService) {
    return invalid_signature(fmt::format("Credential should be scoped to correct service: '{}'. ", kService));
  }
  return {};
}

Outcome<void> check_signature(const http::Request& request, const kms::ParsedAuthorization& parsed,
                              const Secret& secret) {
  auto expected = kms::expected_signature(request, parsed, secret.view());
  if (!expected) return fault("IncompleteSignatureException", "{}", expected.error().message());
  if (!equal_constant_time(as_bytes(*expected), as_bytes(parsed.signature))) {
    return invalid_signature(
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret Access Key and "
        "signing method. Consult the service documentation for details.");
  }
  return {};
}

Outcome<Caller> to_caller(const PrincipalRecord& principal) {
  Caller out{principal.arn, principal.arn, principal.account, {}};
  out.arn = principal.caller_arn;
  if (principal.identity_policy)
    out.identity_policy = TRY(Policy::parse(*principal.identity_policy, PolicyKind::identity));
  return out;
}

}  // namespace

Outcome<Caller> authenticate(Store& store, const http::Request& request, sys::UnixMillis now) {
  auto authorization = request.fields.get("Authorization");
  if (authorization.empty())
    return fault("MissingAuthenticationTokenException", "Request is missing Authentication Token");
  auto parsed = kms::parse_authorization(authorization);
  if (!parsed) return fault("IncompleteSignatureException", "{}", parsed.error().message());
  auto key = store.access_key(parsed->access_key_id);
  // This service issues no session tokens: a request with one is signed with somebody else's credentials.
  bool unknown = !key && key.error().kind() == ErrorKind::not_found;
  if (unknown || !request.fields.get("X-Amz-Security-Token").empty()) {
    return fault("UnrecognizedClientException", "The security token included in the request is invalid.");
  }
  auto access = TRY(std::move(key));
  TRY(check_scope(parsed->scope, store.settings().region));
  TRY(check_date(request.fields.get("X-Amz-Date"), now));
  TRY(check_signature(request, *parsed, access.secret));
  return to_caller(access.principal);
}

}  // namespace cloister::emulator
