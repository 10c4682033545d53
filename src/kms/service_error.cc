#include "kms/service_error.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "http/json.h"
#include "kms/messages.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxTypeBytes = 128;
constexpr std::size_t kMaxMessageBytes = 1024;

constexpr std::string_view kPolicyHint =
    "the key's policy or the caller's IAM rights do not allow it; for an enclave, the policy must list this "
    "image's "
    "measurements";
constexpr std::string_view kCredentialHint =
    "check the AWS credentials (expired? another account? copied in part?) and the machine's clock";
constexpr std::string_view kKeyStateHint = "the key is disabled or about to be deleted; its owner decides";

constexpr std::string_view kBusyHint =
    "KMS takes no more requests from this account for now: try again in a minute";
constexpr std::string_view kNoKeyHint = "no such key or alias in this region and account, or it was deleted";
constexpr std::string_view kExpiredHint = "get new credentials from whoever gave you these";

struct Meaning {
  std::string_view type;
  ErrorKind kind;
  std::string_view hint = {};
};

constexpr std::array kMeanings = {
    Meaning{"AccessDeniedException", ErrorKind::denied, kPolicyHint},
    Meaning{"AccessDenied", ErrorKind::denied, kPolicyHint},
    Meaning{"NotFoundException", ErrorKind::not_found, kNoKeyHint},
    Meaning{"AlreadyExistsException", ErrorKind::invalid},
    Meaning{"DisabledException", ErrorKind::denied, kKeyStateHint},
    Meaning{"KMSInvalidStateException", ErrorKind::denied, kKeyStateHint},
    Meaning{"KeyUnavailableException", ErrorKind::unavailable},
    Meaning{"DependencyTimeoutException", ErrorKind::unavailable},
    Meaning{"KMSInternalException", ErrorKind::unavailable},
    Meaning{"InternalFailure", ErrorKind::unavailable},
    Meaning{"ServiceUnavailable", ErrorKind::unavailable},
    Meaning{"ServiceUnavailableException", ErrorKind::unavailable},
    Meaning{"ThrottlingException", ErrorKind::unavailable, kBusyHint},
    Meaning{"Throttling", ErrorKind::unavailable, kBusyHint},
    Meaning{"TooManyRequestsException", ErrorKind::unavailable, kBusyHint},
    Meaning{"LimitExceededException", ErrorKind::exhausted},
    Meaning{"InvalidCiphertextException", ErrorKind::corrupt,
            "wrong encryption context, or damaged ciphertext"},
    Meaning{"IncorrectKeyException", ErrorKind::corrupt, "it was encrypted under another key"},
    Meaning{"InvalidSignatureException", ErrorKind::denied, kCredentialHint},
    Meaning{"SignatureDoesNotMatch", ErrorKind::denied, kCredentialHint},
    Meaning{"IncompleteSignatureException", ErrorKind::denied, kCredentialHint},
    Meaning{"IncompleteSignature", ErrorKind::denied, kCredentialHint},
    Meaning{"MissingAuthenticationTokenException", ErrorKind::denied, kCredentialHint},
    Meaning{"MissingAuthenticationToken", ErrorKind::denied, kCredentialHint},
    Meaning{"ExpiredTokenException", ErrorKind::denied, kExpiredHint},
    Meaning{"ExpiredToken", ErrorKind::denied, kExpiredHint},
    Meaning{"UnrecognizedClientException", ErrorKind::denied, kCredentialHint},
    Meaning{"InvalidClientTokenId", ErrorKind::denied, kCredentialHint},
    Meaning{"RequestTimeTooSkewed", ErrorKind::denied, kCredentialHint},
    Meaning{"RequestExpired", ErrorKind::denied, kCredentialHint},
    Meaning{"RequestInTheFuture", ErrorKind::denied, kCredentialHint},
};
constexpr std::array<std::string_view, 4> kSkewTypes = {"InvalidSignatureException", "RequestTimeTooSkewed",
                                                        "RequestExpired", "RequestInTheFuture"};

// Whatever else AWS calls it: the status tells whose fault it is.
Meaning meaning_of(const ServiceError& error) {
  auto row = std::ranges::find(kMeanings, error.type, &Meaning::type);
  if (row != kMeanings.end()) return *row;
  if (error.status / 100 == 5 || error.status == 429) return {error.type, ErrorKind::unavailable};
  if (error.status == 401 || error.status == 403) return {error.type, ErrorKind::denied, kPolicyHint};
  if (error.status == 404) return {error.type, ErrorKind::not_found};
  return {error.type, error.status / 100 == 4 ? ErrorKind::invalid : ErrorKind::corrupt};
}

// com.amazonaws.kms#NotFoundException:http://… → NotFoundException
std::string bare_type(std::string_view type) {
  if (auto hash = type.rfind('#'); hash != type.npos) type.remove_prefix(hash + 1);
  type = type.substr(0, type.find(':'));
  bool sound = type.size() <= kMaxTypeBytes && std::ranges::all_of(type, [](char c) {
                 return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
               });
  return sound ? std::string(type) : std::string();
}

}  // namespace

ServiceError ServiceError::parse(const http::Response& response) {
  ServiceError out{.status = response.status, .type = {}, .message = {}};
  auto body = http::parse_json(response.body);
  if (!body) return out;
  if (const auto* type = http::find_text(*body, "__type")) out.type = bare_type(*type);
  const auto* message = http::find_text(*body, "message");
  if (message == nullptr) message = http::find_text(*body, "Message");
  if (message != nullptr)
    out.message = escape_controls(std::string_view(*message).substr(0, kMaxMessageBytes));
  return out;
}

http::Response ServiceError::encode() const {
  http::Json body = {{"__type", JsonString(type)}, {"message", JsonString(message)}};
  http::Response response;
  response.status = status;
  response.fields.set("Content-Type", kContentType);
  response.body = std::string_view(http::format_json(body));
  return response;
}

Error ServiceError::to_error(std::string_view what) const {
  auto meaning = meaning_of(*this);
  auto named = type.empty() ? fmt::format("the service answered {}", status) : type;
  Error error(meaning.kind, message.empty() ? fmt::format("{}: {}", what, named)
                                            : fmt::format("{}: {}: {}", what, named, message));
  return meaning.hint.empty() ? error : std::move(error).with_hint(std::string(meaning.hint));
}

bool ServiceError::worth_retrying() const {
  return meaning_of(*this).kind == ErrorKind::unavailable;
}

bool ServiceError::may_be_clock_skew() const {
  return std::ranges::find(kSkewTypes, type) != kSkewTypes.end();
}

}  // namespace cloister::kms
