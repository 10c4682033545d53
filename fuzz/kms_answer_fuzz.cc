// What a hostile KMS could send to the enclave: an answer is taken only if it keeps every promise. The
// messages and the Authorization field, which the embedded KMS parses, come along.
#include <cstdlib>

#include "http/scripted_stream.h"
#include "kms/client.h"
#include "kms/service_error.h"
#include "kms/sigv4.h"
#include "kms/times.h"

namespace {

using namespace cloister;       // NOLINT
using namespace cloister::kms;  // NOLINT

constexpr int kMaxConnections = 8;  // of one client: retries and pages, no more
constexpr std::string_view kKey =
    "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

Client client(const std::string& answer, const sys::Clock& clock) {
  ClientConfig config;
  config.host = "kms.eu-west-1.amazonaws.com";
  config.region = "eu-west-1";
  config.sleep = [](sys::milliseconds) {};
  config.connect = [answer, left = kMaxConnections](
                       const std::string&, unsigned,
                       sys::Deadline) mutable -> Result<std::unique_ptr<sys::Stream>> {
    if (left-- == 0) return fail(ErrorKind::internal, "enough");
    return std::make_unique<http::ScriptedStream>(answer);
  };
  return {std::move(config), {"A", Secret(as_bytes("s")), std::nullopt}, clock};
}

void answer(const std::string& text) {
  sys::FixedClock clock(0);
  auto kms = client(text, clock);
  auto key = KeyArn::parse(kKey);
  auto envelope = kms.decrypt_for_recipient(*key, as_bytes("c"), {}, as_bytes("d"), {});
  if (envelope && (envelope->empty() || text.find(kKey) == text.npos)) abort();
  auto data_key = kms.generate_data_key("alias/a", {}, {});
  if (data_key && (data_key->plaintext.size() != 32 || !KeyArn::parse(data_key->key_id))) abort();
  (void)kms.describe_key("alias/a", {});
  (void)kms.list_aliases("", {});
}

// What was read and is written again reads the same.
template <class Message>
void both_ways(std::string_view body) {
  auto parsed = Message::parse(body);
  if (!parsed) return;
  auto encoded = parsed->encode();
  auto again = Message::parse(encoded);
  if (!again || again->encode() != encoded) abort();
}

void messages(std::string_view body) {
  both_ways<DecryptRequest>(body);
  both_ways<DecryptResponse>(body);
  both_ways<GenerateDataKeyRequest>(body);
  both_ways<GenerateDataKeyResponse>(body);
  both_ways<EncryptRequest>(body);
  both_ways<CreateKeyRequest>(body);
  both_ways<KeyMetadata>(body);
  both_ways<ListKeysResponse>(body);
  both_ways<ListAliasesResponse>(body);
  both_ways<PutKeyPolicyRequest>(body);
}

void texts(std::string_view text) {
  if (auto arn = KeyArn::parse(text); arn && arn->to_string() != text) abort();
  if (auto at = parse_amz_date(text); at && format_amz_date(*at) != text && text.substr(13, 2) != "60")
    abort();
  (void)parse_http_date(text);
  auto parsed = parse_authorization(text);
  if (!parsed) return;
  http::Request request;
  request.fields.set("Host", "h");
  request.fields.set("X-Amz-Date", parsed->scope.date + "T000000Z");
  (void)expected_signature(request, *parsed, as_bytes("s"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  std::string input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      answer(input);
      break;
    case 1:
      messages(input);
      break;
    default:
      texts(input);
  }
  return 0;
}
