// A client of AWS KMS or of anything that speaks its API. One connection per attempt, retries within the
// deadline. It runs in the enclave too, where the other end may be hostile: whatever comes back is bounded,
// strictly typed and compared with what was asked. Owner: whoever made it. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/message.h"
#include "kms/arn.h"
#include "kms/credentials.h"
#include "kms/grants.h"
#include "kms/messages.h"
#include "sys/stream.h"

namespace cloister::kms {

inline constexpr int kMaxAttempts = 4;  // of one operation
inline constexpr sys::milliseconds kAttemptTimeout =
    sys::seconds(5);                                    // connecting, sending, the whole answer
inline constexpr sys::milliseconds kFirstBackoff{200};  // doubled each time; the wait is random below it
inline constexpr sys::milliseconds kMaxBackoff{5000};
inline constexpr std::size_t kMaxAnswerBytes = 64 * 1024;
inline constexpr sys::milliseconds kSkewTolerance = sys::seconds(240);  // AWS itself takes five minutes
inline constexpr int kMaxPages = 100;                                   // of a list

// Opens a stream on which HTTP can be spoken at once: TLS, if there is any, is done and the host verified.
using Connector = std::function<Result<std::unique_ptr<sys::Stream>>(const std::string& host, unsigned port,
                                                                     sys::Deadline deadline)>;

struct ClientConfig {
  Connector connect;
  std::string host;  // endpoint_host(), or the user's endpoint
  unsigned port = 443;
  std::string region;                                 // of the signatures
  std::function<void(sys::milliseconds)> sleep;       // between attempts; empty: the thread sleeps
  std::function<void(const std::string&)> on_notice;  // things the person should know; may be empty
};

class Client {
 public:
  // The clock, which dates signatures, outlives the client.
  Client(ClientConfig config, Credentials credentials, const sys::Clock& clock);

  // A fresh 32-byte data key. key: full ARN, id or alias; the answer's key_id is always a full ARN, and the
  // very one asked for if that was full. corrupt: the answer does not keep to that.
  Result<GenerateDataKeyResponse> generate_data_key(std::string_view key, const EncryptionContext& context,
                                                    sys::Deadline deadline);

  // For the enclave: the plaintext under the key of the attestation document, as a CMS envelope. corrupt: the
  // answer holds a plaintext, holds no envelope, or names another key.
  Result<Bytes> decrypt_for_recipient(const KeyArn& key, ByteView ciphertext,
                                      const EncryptionContext& context, ByteView attestation_document,
                                      sys::Deadline deadline);

  // For whoever may see the plaintext. request.key_id may be empty; a full ARN must come back as it is.
  Result<Secret> decrypt(const DecryptRequest& request, sys::Deadline deadline);
  // What the service says to the same request with DryRun: an exception's name and text,
  // DryRunOperationException if all is allowed (AWS KMS developer guide, "Test your permissions"). Tried
  // once.
  struct Refusal {
    std::string type;
    std::string message;
  };
  Result<Refusal> dry_run_decrypt(DecryptRequest request, sys::Deadline deadline);
  Result<EncryptResponse> encrypt(const EncryptRequest& request, sys::Deadline deadline);

  // Tried once: a repeated CreateKey makes two keys.
  Result<KeyMetadata> create_key(const CreateKeyRequest& request, sys::Deadline deadline);
  Result<KeyMetadata> describe_key(std::string_view key, sys::Deadline deadline);
  Status enable_key(std::string_view key, sys::Deadline deadline);
  Status disable_key(std::string_view key, sys::Deadline deadline);
  Status create_alias(const CreateAliasRequest& request, sys::Deadline deadline);
  Result<std::vector<KeyEntry>> list_keys(sys::Deadline deadline);
  // key: empty for all.
  Result<std::vector<AliasEntry>> list_aliases(std::string_view key, sys::Deadline deadline);
  Result<std::string> get_key_policy(std::string_view key, sys::Deadline deadline);
  // exhausted: more than kMaxGrantPages pages.
  Result<std::vector<Grant>> list_grants(std::string_view key, sys::Deadline deadline);
  Status put_key_policy(const PutKeyPolicyRequest& request, sys::Deadline deadline);

 private:
  enum class Repeat { allowed, never };  // of a request that may have been carried out
  struct Attempt;

  // The body of a 2xx answer.
  Result<JsonString> call(std::string_view operation, const JsonString& body, sys::Deadline deadline,
                          Repeat repeat = Repeat::allowed);
  Attempt attempt(std::string_view operation, std::string_view body, sys::Deadline deadline);
  Result<http::Request> make_request(std::string_view operation, std::string_view body) const;
  bool correct_skew(const http::Response& response);
  bool back_off(int attempts_made, sys::Deadline deadline) const;

  ClientConfig config_;
  Credentials credentials_;
  const sys::Clock& clock_;
  sys::UnixMillis offset_ = 0;  // added to the clock for signatures, and for nothing else
  bool skew_corrected_ = false;
};

}  // namespace cloister::kms
