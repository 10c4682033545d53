// What STS, a container, an instance and a credential_process answer. What is taken can be sent on as it is.
#include <algorithm>
#include <cstdlib>

#include "kms/sources.h"
#include "kms/sts_answer.h"

using namespace cloister;

namespace {

void check(const Result<kms::Credentials>& taken, bool from_sts) {
  if (!taken) return;
  if (taken->access_key_id.size() < 16 || taken->secret_access_key.empty()) std::abort();
  if (!from_sts) return;
  auto token = taken->session_token->view();
  bool visible = std::ranges::all_of(token, [](auto byte) { return byte > ' ' && byte < 0x7f; });
  if (token.empty() || !visible || !taken->expires) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = as_text(ByteView(data, size));
  check(kms::parse_sts_credentials("AssumeRole", text), true);
  check(kms::parse_document(text, {}), false);
  check(kms::parse_document(text, {.token = "SessionToken", .expires = false}), false);
  (void)kms::parse_caller_arn(text).has_value();
  auto error = kms::parse_sts_error({.status = 400, .fields = {}, .body = std::string(text)});
  if (error.message.find('\n') != std::string::npos) std::abort();
  return 0;
}
