// Policy documents, which whoever may PutKeyPolicy writes: parsing never crashes, and a policy without an
// Allow allows nothing.
#include <cstdlib>

#include "base/bytes.h"
#include "emulator/policy_eval.h"

using namespace cloister;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr const char* kUser = "arn:aws:iam::111122223333:user/owner";
  auto text = as_text({data, size});
  emulator::Caller caller{kUser, kUser, "111122223333", {}};
  if (auto identity = emulator::Policy::parse(text, emulator::PolicyKind::identity)) {
    caller.identity_policy = *std::move(identity);
  }
  auto policy = emulator::Policy::parse(text, emulator::PolicyKind::key);
  if (!policy) return 0;
  emulator::AccessRequest request{"kms:Decrypt", "arn:aws:kms:us-east-1:111122223333:key/x", {}};
  request.context.set("kms:CallerAccount", "111122223333");
  request.context.set("aws:CurrentTime", "2026-06-01T12:00:00Z");
  request.context.set("aws:SourceIp", "192.0.2.77");
  request.context.set_list("kms:EncryptionContextKeys", {"a", "b"});
  auto verdict = emulator::authorize(caller, request, emulator::KeyGuard{"111122223333", *policy});
  bool any_allow = false;
  for (const auto& statement : policy->statements)
    any_allow = any_allow || statement.effect == emulator::Effect::allow;
  if (verdict == emulator::Verdict::allowed && !any_allow) std::abort();
  return 0;
}
