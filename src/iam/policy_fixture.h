// For the tests of policies: callers, one request to decide on, and names of the documentation pages whose
// rules the tables quote.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "iam/policy_eval.h"

namespace cloister::iam {

// IAM user guide.
inline constexpr const char* kOperators = "IAM JSON policy elements: Condition operators";
inline constexpr const char* kMultivalued = "Multivalued context keys";
inline constexpr const char* kBlocks = "Conditions with multiple context keys or values";
inline constexpr const char* kLogic = "Policy evaluation logic";
inline constexpr const char* kPrincipalPage = "AWS JSON policy elements: Principal";
inline constexpr const char* kNotPrincipalPage = "AWS JSON policy elements: NotPrincipal";
inline constexpr const char* kElements = "IAM JSON policy elements reference";
inline constexpr const char* kGlobalKeys = "AWS global condition context keys";
// AWS KMS developer guide.
inline constexpr const char* kKmsKeys = "AWS KMS condition keys";
inline constexpr const char* kAttested = "AWS KMS condition keys for attested platforms";
inline constexpr const char* kKeyPolicies = "Key policies in AWS KMS";
inline constexpr const char* kOtherAccounts = "Allowing users in other accounts to use a KMS key";
// Where AWS is silent, or this service is stricter.
inline constexpr const char* kOurs = "docs/kms.md";

inline constexpr const char* kAccount = "111122223333";
inline constexpr const char* kOtherAccount = "999999999999";
inline constexpr const char* kKeyArn =
    "arn:aws:kms:us-east-1:111122223333:key/0a0b0c0d-0000-4000-8000-000000000001";
inline constexpr const char* kUser = "arn:aws:iam::111122223333:user/owner";
inline constexpr const char* kRole = "arn:aws:iam::111122223333:role/enclave-host";
inline constexpr const char* kSession = "arn:aws:sts::111122223333:assumed-role/enclave-host/session";
inline constexpr const char* kAllowAllOf =
    R"({"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}})";
inline const std::string kAllowDecrypt =
    R"({"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"})";
inline const std::string kHash(96, 'a');
inline const std::string kZeros(96, '0');

inline std::string policy_of(const std::string& statements) {
  return R"({"Version":"2012-10-17","Statement":[)" + statements + "]}";
}
// A statement on everyone and kms:Decrypt, but what the test is about.
inline std::string conditioned(const std::string& effect, const std::string& condition) {
  return R"({"Effect":")" + effect +
         R"(","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":)" + condition + "}";
}
inline std::string principal_with(const std::string& principal) {
  return policy_of(R"({"Effect":"Allow","Action":"kms:*","Resource":"*","Principal":)" + principal + "}");
}

inline Caller user() {
  return {.arn = kUser, .principal_arn = kUser, .account = kAccount};
}
inline Caller session() {
  return {.arn = kSession, .principal_arn = kRole, .account = kAccount};
}
inline Caller guest() {
  constexpr const char* kGuest = "arn:aws:iam::999999999999:user/guest";
  return {.arn = kGuest, .principal_arn = kGuest, .account = kOtherAccount};
}
inline Policy own_policy(const std::string& text) {
  auto parsed = Policy::parse(text, PolicyKind::identity);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(Policy{});
}
inline Caller with_identity(Caller caller, const std::string& policy) {
  caller.identity_policy = own_policy(policy);
  return caller;
}
inline Caller with_session(Caller caller, const std::string& policy) {
  caller.session_policy = own_policy(policy);
  return caller;
}

inline AccessRequest decrypt_request() {
  AccessRequest out{"kms:Decrypt", kKeyArn, {}};
  out.context.set("kms:CallerAccount", kAccount);
  out.context.set("aws:CurrentTime", "2026-06-01T12:00:00Z");
  out.context.set("aws:EpochTime", "1780315200");
  out.context.set("aws:SourceIp", "192.0.2.77");
  out.context.set("aws:SecureTransport", "true");
  out.context.set("aws:PrincipalArn", kUser);
  out.context.set("kms:RecipientAttestation:ImageSha384", kHash);
  out.context.set("kms:RecipientAttestation:PCR0", kHash);
  out.context.set_unproven("kms:RecipientAttestation:PCR8", kZeros);
  out.context.set("kms:EncryptionContext:AppName", "Cl\xC3\xB6ister");
  out.context.set_list("kms:EncryptionContextKeys", {"AppName", "Release"});
  return out;
}

inline Verdict decide(const std::string& key_policy, const Caller& caller,
                      const AccessRequest& request = decrypt_request()) {
  auto policy = Policy::parse(key_policy, PolicyKind::key);
  if (!policy) {
    ADD_FAILURE() << policy.error().message() << "\n" << key_policy;
    return Verdict::no_key_policy_allows;
  }
  return authorize(caller, request, KeyGuard{kAccount, *policy});
}
inline bool allows(const std::string& key_policy, const Caller& caller) {
  return decide(key_policy, caller) == Verdict::allowed;
}

}  // namespace cloister::iam
