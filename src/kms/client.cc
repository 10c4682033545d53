#include "kms/client.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "crypto/digest.h"
#include "http/client.h"
#include "kms/service_error.h"
#include "kms/sigv4.h"
#include "kms/times.h"

namespace cloister::kms {

namespace {

constexpr unsigned kHttpsPort = 443;
constexpr std::string_view kService = "kms";

// The sooner of the operation's end and the attempt's.
sys::Deadline attempt_deadline(sys::Deadline whole) {
  int left = whole.poll_timeout();
  if (left >= 0 && left < kAttemptTimeout.count()) return whole;
  return sys::Deadline::after(kAttemptTimeout);
}

sys::milliseconds random_below(sys::milliseconds bound) {
  ByteArray<4> bytes;
  crypto::fill_random(bytes);
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data(), bytes.size());
  return sys::milliseconds(number % static_cast<std::uint32_t>(bound.count()));
}

void wipe_credentials(http::Request& request) {
  wipe(request.body);
  request.fields.wipe("X-Amz-Security-Token");
}

Error after_attempts(Error error, int made) {
  if (made == 1) return error;
  Error told(error.kind(), fmt::format("{} (tried {} times)", error.message(), made));
  return std::move(told).with_hint(error.hint());
}

}  // namespace

// How one attempt went.
struct Client::Attempt {
  Result<http::Response> response;
  bool sent = false;  // the request may have been carried out
};

Client::Client(ClientConfig config, Credentials credentials, const sys::Clock& clock)
    : config_(std::move(config)), credentials_(std::move(credentials)), clock_(clock) {
  if (!config_.sleep) config_.sleep = [](sys::milliseconds time) { std::this_thread::sleep_for(time); };
}

Result<http::Request> Client::make_request(std::string_view operation, std::string_view body) const {
  http::Request request;
  request.method = "POST";
  request.target = "/";
  bool usual = config_.port == kHttpsPort;
  request.fields.set("Host", usual ? config_.host : fmt::format("{}:{}", config_.host, config_.port));
  request.fields.set("Content-Type", kContentType);
  request.fields.set("X-Amz-Target", fmt::format("{}{}", kTargetPrefix, operation));
  request.body = body;
  TRY(sign(request, credentials_, config_.region, kService, clock_.now() + offset_));
  return request;
}

Client::Attempt Client::attempt(std::string_view operation, std::string_view body, sys::Deadline deadline) {
  auto request = make_request(operation, body);
  if (!request) return {std::unexpected(std::move(request).error())};
  auto until = attempt_deadline(deadline);
  auto stream = config_.connect(config_.host, config_.port, until);
  if (!stream) {
    wipe_credentials(*request);
    return {std::unexpected(std::move(stream).error())};
  }
  http::Client connection(*std::move(stream), config_.host);
  auto response = connection.exchange(*request, until, kMaxAnswerBytes);
  wipe_credentials(*request);
  return {std::move(response), true};
}

// A clock far off is corrected for signatures once; the service's word is believed for nothing else.
bool Client::correct_skew(const http::Response& response) {
  if (skew_corrected_ || !ServiceError::parse(response).may_be_clock_skew()) return false;
  auto theirs = parse_http_date(response.fields.get("Date"));
  if (!theirs) return false;
  auto behind = *theirs - clock_.now();
  if (std::abs(behind) <= kSkewTolerance.count()) return false;
  skew_corrected_ = true;
  offset_ = behind;
  if (config_.on_notice) {
    config_.on_notice(fmt::format("the clock is {} s {} that of KMS; requests are dated by KMS's",
                                  std::abs(behind) / 1000, behind > 0 ? "behind" : "ahead of"));
  }
  return true;
}

// Full jitter: many enclaves that fail at once must not come back at once. false: the deadline comes first.
bool Client::back_off(int attempts_made, sys::Deadline deadline) const {
  auto bound = std::min(kMaxBackoff, kFirstBackoff * (1 << (attempts_made - 1)));
  auto wait = random_below(bound);
  int left = deadline.poll_timeout();
  if (left >= 0 && wait.count() >= left) return false;
  config_.sleep(wait);
  return true;
}

Result<JsonString> Client::call(std::string_view operation, const JsonString& body, sys::Deadline deadline,
                                Repeat repeat) {
  auto what = fmt::format("KMS {}", operation);
  for (int made = 1;; ++made) {
    auto [response, sent] = attempt(operation, body, deadline);
    if (response && response->status / 100 == 2) {
      JsonString answer(response->body);
      wipe(response->body);
      return answer;
    }
    // A refused request was not carried out, and a new signature is not a new request.
    if (response && correct_skew(*response)) continue;
    auto refusal = response ? std::optional(ServiceError::parse(*response)) : std::nullopt;
    auto error = refusal ? refusal->to_error(what) : std::move(response).error().context(what);
    bool passing = refusal ? refusal->worth_retrying() : error.kind() == ErrorKind::unavailable;
    bool safe = repeat == Repeat::allowed || !sent;
    if (!passing || !safe || made >= kMaxAttempts || !back_off(made, deadline))
      return std::unexpected(after_attempts(std::move(error), made));
  }
}

namespace {

std::unexpected<Error> broken_promise(std::string_view operation, std::string_view what) {
  return fail(ErrorKind::corrupt, "KMS {}: {}", operation, what);
}

// A full ARN comes back as it was sent. Anything shorter was resolved by the service, whose word has to do.
Status check_key(std::string_view operation, std::string_view asked, std::string_view answered) {
  if (!KeyArn::parse(answered))
    return broken_promise(operation, "the answer does not name a key by its full ARN");
  if (KeyArn::parse(asked) && asked != answered)
    return broken_promise(operation, "the answer is about another key");
  return {};
}

}  // namespace

Result<GenerateDataKeyResponse> Client::generate_data_key(std::string_view key,
                                                          const EncryptionContext& context,
                                                          sys::Deadline deadline) {
  constexpr std::string_view kName = "GenerateDataKey";
  GenerateDataKeyRequest request;
  request.key_id = key;
  request.context = context;
  auto answer = TRY(call(kName, request.encode(), deadline));
  auto out = TRY(GenerateDataKeyResponse::parse(answer).context("KMS GenerateDataKey"));
  TRY(check_key(kName, key, out.key_id));
  if (out.plaintext.size() != request.bytes)
    return broken_promise(kName, "the data key is not 32 bytes long");
  return out;
}

Result<Bytes> Client::decrypt_for_recipient(const KeyArn& key, ByteView ciphertext,
                                            const EncryptionContext& context, ByteView attestation_document,
                                            sys::Deadline deadline) {
  constexpr std::string_view kName = "Decrypt";
  DecryptRequest request;
  request.key_id = key.to_string();
  request.ciphertext = to_bytes(ciphertext);
  request.context = context;
  request.recipient.emplace().attestation_document = to_bytes(attestation_document);
  auto answer = TRY(call(kName, request.encode(), deadline));
  auto out = TRY(DecryptResponse::parse(answer).context("KMS Decrypt"));
  if (out.key_id != request.key_id) return broken_promise(kName, "the answer is about another key");
  if (!out.plaintext.empty())
    return broken_promise(kName, "the answer holds a plaintext that only the enclave may see");
  if (out.ciphertext_for_recipient.empty())
    return broken_promise(kName, "the answer holds no CiphertextForRecipient");
  return std::move(out.ciphertext_for_recipient);
}

Result<Secret> Client::decrypt(const DecryptRequest& request, sys::Deadline deadline) {
  constexpr std::string_view kName = "Decrypt";
  auto answer = TRY(call(kName, request.encode(), deadline));
  auto out = TRY(DecryptResponse::parse(answer).context("KMS Decrypt"));
  TRY(check_key(kName, request.key_id, out.key_id));
  if (out.plaintext.empty()) return broken_promise(kName, "the answer holds no Plaintext");
  return std::move(out.plaintext);
}

Result<Client::Refusal> Client::dry_run_decrypt(DecryptRequest request, sys::Deadline deadline) {
  request.dry_run = true;
  auto [response, sent] = attempt("Decrypt", request.encode(), deadline);
  auto answer = TRY(std::move(response).context("KMS Decrypt"));
  if (answer.status / 100 == 2) {
    wipe(answer.body);
    return broken_promise("Decrypt", "the service does not know DryRun");
  }
  auto refusal = ServiceError::parse(answer);
  return Refusal{std::move(refusal.type), std::move(refusal.message)};
}

Result<EncryptResponse> Client::encrypt(const EncryptRequest& request, sys::Deadline deadline) {
  auto answer = TRY(call("Encrypt", request.encode(), deadline));
  auto out = TRY(EncryptResponse::parse(answer).context("KMS Encrypt"));
  TRY(check_key("Encrypt", request.key_id, out.key_id));
  return out;
}

Result<KeyMetadata> Client::create_key(const CreateKeyRequest& request, sys::Deadline deadline) {
  auto answer = TRY(call("CreateKey", request.encode(), deadline, Repeat::never));
  auto out = TRY(KeyMetadata::parse(answer).context("KMS CreateKey"));
  TRY(check_key("CreateKey", {}, out.arn));
  return out;
}

Result<KeyMetadata> Client::describe_key(std::string_view key, sys::Deadline deadline) {
  auto answer = TRY(call("DescribeKey", KeyIdRequest{std::string(key)}.encode(), deadline));
  auto out = TRY(KeyMetadata::parse(answer).context("KMS DescribeKey"));
  TRY(check_key("DescribeKey", key, out.arn));
  return out;
}

Status Client::enable_key(std::string_view key, sys::Deadline deadline) {
  TRY(call("EnableKey", KeyIdRequest{std::string(key)}.encode(), deadline));
  return {};
}

Status Client::disable_key(std::string_view key, sys::Deadline deadline) {
  TRY(call("DisableKey", KeyIdRequest{std::string(key)}.encode(), deadline));
  return {};
}

Status Client::create_alias(const CreateAliasRequest& request, sys::Deadline deadline) {
  TRY(call("CreateAlias", request.encode(), deadline, Repeat::never));
  return {};
}

Result<std::vector<KeyEntry>> Client::list_keys(sys::Deadline deadline) {
  std::vector<KeyEntry> out;
  ListRequest request;
  for (int page = 0; page < kMaxPages; ++page) {
    auto answer = TRY(call("ListKeys", request.encode(), deadline));
    auto keys = TRY(ListKeysResponse::parse(answer).context("KMS ListKeys"));
    std::ranges::move(keys.keys, std::back_inserter(out));
    if (keys.next_marker.empty()) return out;
    request.marker = keys.next_marker;
  }
  return fail(ErrorKind::exhausted, "KMS ListKeys: more than {} pages", kMaxPages);
}

Result<std::vector<AliasEntry>> Client::list_aliases(std::string_view key, sys::Deadline deadline) {
  std::vector<AliasEntry> out;
  ListRequest request;
  request.key_id = key;
  for (int page = 0; page < kMaxPages; ++page) {
    auto answer = TRY(call("ListAliases", request.encode(), deadline));
    auto aliases = TRY(ListAliasesResponse::parse(answer).context("KMS ListAliases"));
    std::ranges::move(aliases.aliases, std::back_inserter(out));
    if (aliases.next_marker.empty()) return out;
    request.marker = aliases.next_marker;
  }
  return fail(ErrorKind::exhausted, "KMS ListAliases: more than {} pages", kMaxPages);
}

Result<std::string> Client::get_key_policy(std::string_view key, sys::Deadline deadline) {
  GetKeyPolicyRequest request;
  request.key_id = key;
  auto answer = TRY(call("GetKeyPolicy", request.encode(), deadline));
  auto out = TRY(GetKeyPolicyResponse::parse(answer).context("KMS GetKeyPolicy"));
  return std::move(out.policy);
}

Result<std::vector<Grant>> Client::list_grants(std::string_view key, sys::Deadline deadline) {
  std::vector<Grant> out;
  ListRequest request;
  request.key_id = key;
  request.limit = kGrantsPerPage;
  for (int page = 0; page < kMaxGrantPages; ++page) {
    auto answer = TRY(call("ListGrants", request.encode(), deadline));
    auto grants = TRY(ListGrantsResponse::parse(answer).context("KMS ListGrants"));
    std::ranges::move(grants.grants, std::back_inserter(out));
    if (grants.next_marker.empty()) return out;
    request.marker = grants.next_marker;
  }
  return fail(ErrorKind::exhausted, "KMS ListGrants: more than {} pages", kMaxGrantPages);
}

Status Client::put_key_policy(const PutKeyPolicyRequest& request, sys::Deadline deadline) {
  TRY(call("PutKeyPolicy", request.encode(), deadline));
  return {};
}

}  // namespace cloister::kms
