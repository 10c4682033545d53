// Policy documents, which whoever may PutKeyPolicy writes: parsing never crashes, evaluation keeps its laws
// for every caller and request: no Allow allows nothing, a Deny of everything denies, a session policy adds
// nothing, and a document of zeros opens no more than no document does. And what is allowed without a
// document is among the findings about the policy.
#include <cstdlib>

#include "base/bytes.h"
#include "host/key_findings.h"
#include "iam/policy_eval.h"

using namespace cloister;
using namespace cloister::iam;

namespace {

constexpr const char* kAccount = "111122223333";
constexpr const char* kUser = "arn:aws:iam::111122223333:user/owner";
constexpr const char* kRole = "arn:aws:iam::111122223333:role/enclave-host";
constexpr const char* kSession = "arn:aws:sts::111122223333:assumed-role/enclave-host/session";
constexpr const char* kGuest = "arn:aws:iam::999999999999:user/guest";

enum class Attestation { none, zeros, measured };

RequestContext context_of(const Caller& caller, Attestation attested) {
  RequestContext out;
  out.set("kms:CallerAccount", caller.account);
  out.set("aws:PrincipalAccount", caller.account);
  out.set("aws:PrincipalIsAWSService", "false");
  out.set("aws:PrincipalArn", caller.principal_arn);
  out.set("aws:CurrentTime", "2026-06-01T12:00:00Z");
  out.set("aws:EpochTime", "1780315200");
  out.set("aws:SourceIp", "192.0.2.77");
  out.set("aws:SecureTransport", "true");
  out.set("kms:EncryptionContext:a", "\xC3\xA9");
  out.set_list("kms:EncryptionContextKeys", {"a", "b"});
  for (const char* key : {"kms:RecipientAttestation:ImageSha384", "kms:RecipientAttestation:PCR0"}) {
    if (attested == Attestation::zeros) out.set_unproven(key, std::string(96, '0'));
    if (attested == Attestation::measured) out.set(key, std::string(96, 'a'));
  }
  return out;
}

constexpr const char* kKey = "arn:aws:kms:us-east-1:111122223333:key/x";
constexpr sys::UnixMillis kNow = 1780315200000;  // aws:EpochTime above

bool any(const Policy& policy, Effect effect) {
  for (const auto& statement : policy.statements)
    if (statement.effect == effect) return true;
  return false;
}

Verdict ask(const Policy& policy, const Caller& caller, const char* action, Attestation attested) {
  AccessRequest request{action, kKey, context_of(caller, attested)};
  auto verdict = authorize(caller, request, KeyGuard{kAccount, policy});
  if (denial_message(caller, request, verdict).empty()) std::abort();
  return verdict;
}

void check(const Policy& policy, const Caller& caller, const char* action) {
  bool allowed[3];
  for (auto attested : {Attestation::none, Attestation::zeros, Attestation::measured}) {
    auto verdict = ask(policy, caller, action, attested);
    allowed[static_cast<int>(attested)] = verdict == Verdict::allowed;
    if (verdict == Verdict::allowed && !any(policy, Effect::allow)) std::abort();
    if (verdict == Verdict::denied_by_key_policy && !any(policy, Effect::deny)) std::abort();
    auto narrowed = caller;
    narrowed.session_policy = policy;
    if (ask(policy, narrowed, action, attested) == Verdict::allowed && verdict != Verdict::allowed)
      std::abort();
  }
  if (allowed[1] && !allowed[0]) std::abort();
}

bool warns(const host::KeyJudgement& judgement, std::string_view code) {
  for (const auto& finding : judgement.findings)
    if (finding.code == code && finding.severity == host::Severity::warning) return true;
  return false;
}

// Of a caller whose own policies allow everything.
void check_findings(const Policy& policy, const host::KeyJudgement& judgement, Caller caller) {
  caller.identity_policy.reset();
  auto all =
      Policy::parse(R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})", PolicyKind::identity);
  if (!all) std::abort();
  caller.identity_policy = *all;
  for (auto [action, code] :
       {std::pair{"kms:Decrypt", "decrypt-without-attestation"}, {"kms:ReEncryptFrom", "re-encrypt-from"}}) {
    if (ask(policy, caller, action, Attestation::none) == Verdict::allowed && !warns(judgement, code))
      std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto text = as_text({data, size});
  auto identity = Policy::parse(text, PolicyKind::identity);
  (void)Policy::parse(text, PolicyKind::trust).has_value();
  auto policy = Policy::parse(text, PolicyKind::key);
  auto kept = Policy::parse(text, PolicyKind::kept_key);
  if (policy && !kept) std::abort();
  auto everything = Policy::parse(
      R"({"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}})", PolicyKind::key);
  if (!everything) std::abort();
  host::KeyFacts facts{.key = {.account = kAccount, .arn = kKey}, .policy = std::string(text), .now = kNow};
  auto judgement = host::judge_key(facts);
  if (judgement.judged != kept.has_value()) std::abort();
  for (auto [arn, principal, account] :
       {std::tuple{kUser, kUser, kAccount}, {kSession, kRole, kAccount}, {kGuest, kGuest, "999999999999"}}) {
    Caller caller{.arn = arn, .principal_arn = principal, .account = account};
    if (identity) caller.identity_policy = *identity;
    if (kept) check_findings(*kept, judgement, caller);
    for (const char* action : {"kms:Decrypt", "kms:PutKeyPolicy"}) {
      check(policy ? *policy : *everything, caller, action);
    }
  }
  return 0;
}
