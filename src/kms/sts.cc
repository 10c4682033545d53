#include "kms/sts.h"

#include <algorithm>
#include <array>
#include <thread>

#include "kms/sigv4.h"
#include "kms/sts_answer.h"

namespace cloister::kms {

namespace {

constexpr std::string_view kVersion = "2011-06-15";
constexpr std::string_view kService = "sts";
constexpr sys::milliseconds kPause{200};  // before the second attempt, doubled each time

struct Meaning {
  std::string_view type;
  ErrorKind kind;
  std::string_view hint;
};
constexpr std::string_view kCredentialHint =
    "check the AWS credentials (expired? copied in part?) and the machine's clock";
constexpr std::array kMeanings = {
    Meaning{"AccessDenied", ErrorKind::denied,
            "the caller's IAM rights, or whom the role trusts, do not allow it"},
    Meaning{"ExpiredToken", ErrorKind::denied, "get new credentials from whoever gave you these"},
    Meaning{"ExpiredTokenException", ErrorKind::denied, "get new credentials from whoever gave you these"},
    Meaning{"InvalidIdentityToken", ErrorKind::denied,
            "the role's trust policy names another identity provider"},
    Meaning{"IDPCommunicationError", ErrorKind::unavailable, {}},
    Meaning{"PackedPolicyTooLarge", ErrorKind::exhausted,
            "fewer session tags leave more room; --credentials as-is"},
    Meaning{"RegionDisabledException", ErrorKind::denied,
            "activate STS in this region, or choose another: AWS_REGION"},
    Meaning{"SignatureDoesNotMatch", ErrorKind::denied, kCredentialHint},
    Meaning{"InvalidClientTokenId", ErrorKind::denied, kCredentialHint},
    Meaning{"RequestExpired", ErrorKind::denied, kCredentialHint},
    Meaning{"Throttling", ErrorKind::unavailable, {}},
};

Error to_error(const ServiceError& refusal, std::string_view what) {
  // Kind and words; the hints there are KMS's.
  auto told = refusal.to_error(what);
  auto row = std::ranges::find(kMeanings, refusal.type, &Meaning::type);
  if (row == kMeanings.end()) return Error(told.kind(), told.message());
  return Error(row->kind, told.message()).with_hint(std::string(row->hint));
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '~';
}

void append_encoded(std::string& out, std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(c)) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
}

}  // namespace

Result<Sts> Sts::find(const Surroundings& surroundings, std::string region) {
  auto named = surroundings.environment("AWS_ENDPOINT_URL_STS").value_or("");
  if (!named.empty()) {
    auto service = TRY(ServiceUrl::parse(named).context("AWS_ENDPOINT_URL_STS"));
    return Sts(surroundings, std::move(service), std::move(region));
  }
  auto variant = TRY(find_endpoint_variant(surroundings.environment));
  ServiceUrl service{.host = aws_endpoint_host(region, variant, kService)};
  return Sts(surroundings, std::move(service), std::move(region));
}

Result<http::Response> Sts::attempt(const std::string& body, const Credentials* caller) const {
  http::Request request{.method = "POST"};
  request.fields.set("Host", host_field(service_));
  request.fields.set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
  request.body = body;
  if (caller != nullptr) TRY(sign(request, *caller, region_, kService, clock_->now()));
  auto deadline = sys::Deadline::after(kStsTimeout);
  auto stream = dial_(service_, deadline);
  if (stream) return ask(*std::move(stream), service_, std::move(request), deadline);
  wipe(request.body);
  request.fields.wipe("X-Amz-Security-Token");
  return std::unexpected(std::move(stream).error());
}

Result<Secret> Sts::call(std::string_view operation, const Parameters& parameters,
                         const Credentials* caller) const {
  std::size_t room = operation.size() + 64;
  for (const auto& [name, value] : parameters) room += name.size() + 3 * value.size() + 2;
  std::string body;
  body.reserve(room);  // a token may be in it: no copy is left behind
  body += fmt::format("Action={}&Version={}", operation, kVersion);
  for (const auto& [name, value] : parameters) {
    if (value.empty()) continue;
    body += fmt::format("&{}=", name);
    append_encoded(body, value);
  }
  auto what = fmt::format("STS {}", operation);
  for (int made = 1;; ++made) {
    auto answer = attempt(body, caller);
    if (answer && answer->status / 100 == 2) {
      Secret out(as_bytes(answer->body));
      wipe(answer->body);
      wipe(body);
      return out;
    }
    auto error = answer ? to_error(parse_sts_error(*answer), what) : std::move(answer).error().context(what);
    if (error.kind() != ErrorKind::unavailable || made == kStsAttempts) {
      wipe(body);
      return std::unexpected(std::move(error));
    }
    std::this_thread::sleep_for(kPause * (1 << (made - 1)));
  }
}

Result<Credentials> Sts::credentials(std::string_view operation, const Parameters& parameters,
                                     const Credentials* caller) const {
  auto answer = TRY(call(operation, parameters, caller));
  return parse_sts_credentials(operation, as_text(answer.view())).context(fmt::format("STS {}", operation));
}

Result<Credentials> Sts::assume_role(const Credentials& caller, const RoleRequest& request) const {
  auto seconds = request.seconds == 0 ? std::string() : std::to_string(request.seconds);
  return credentials("AssumeRole",
                     {{"RoleArn", request.arn},
                      {"RoleSessionName", request.session_name},
                      {"ExternalId", request.external_id},
                      {"DurationSeconds", seconds},
                      {"Policy", request.policy}},
                     &caller);
}

Result<Credentials> Sts::assume_role_with_web_identity(std::string_view token,
                                                       const RoleRequest& request) const {
  auto seconds = request.seconds == 0 ? std::string() : std::to_string(request.seconds);
  return credentials("AssumeRoleWithWebIdentity",
                     {{"RoleArn", request.arn},
                      {"RoleSessionName", request.session_name},
                      {"WebIdentityToken", token},
                      {"DurationSeconds", seconds},
                      {"Policy", request.policy}},
                     nullptr);
}

Result<Credentials> Sts::federation_token(const Credentials& caller, std::string_view name,
                                          const SessionScope& scope) const {
  auto seconds = std::to_string(scope.seconds);
  return credentials("GetFederationToken",
                     {{"Name", name}, {"Policy", scope.policy}, {"DurationSeconds", seconds}}, &caller);
}

Result<std::string> Sts::caller_arn(const Credentials& caller) const {
  auto answer = TRY(call("GetCallerIdentity", {}, &caller));
  return parse_caller_arn(as_text(answer.view())).context("STS GetCallerIdentity");
}

}  // namespace cloister::kms
