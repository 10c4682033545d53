// Call: one authenticated request while it is carried out, and what the operations have in common.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "emulator/parameters.h"
#include "emulator/store.h"
#include "emulator/trusted_roots.h"
#include "iam/policy_eval.h"

namespace cloister::emulator {

struct Call {
  Store& store;
  const TrustedRoots& roots;
  iam::Caller caller;
  Parameters parameters;
  iam::RequestContext context;  // grows as the operation learns what it concerns
  sys::UnixMillis now;

  // A key by id or ARN, for the operations that AWS lets name keys by alias too. NotFoundException,
  // InvalidArnException.
  Outcome<KeyRecord> find_key(const std::string& name);
  Outcome<KeyRecord> find_key_or_alias(const std::string& name);
  Outcome<KeyRecord> required_key(const char* member = "KeyId");
  Outcome<KeyRecord> required_key_or_alias(const char* member = "KeyId");
  // AccessDeniedException unless the key's and the caller's policies allow "kms:<action>".
  Outcome<void> require(std::string_view action, const KeyRecord& key);
  // The same for what concerns no key: the caller's policies alone.
  Outcome<void> require_identity(std::string_view action, std::string_view resource = "*");
  // KMSInvalidStateException: about to be deleted.
  static Outcome<void> require_staying(const KeyRecord& key);
  // The same, and DisabledException.
  static Outcome<void> require_enabled(const KeyRecord& key);
  // InvalidGrantTokenException where the request has any: there are no grants.
  Outcome<void> refuse_grant_tokens() const;
  // DryRunOperationException where the request says DryRun: everything was allowed, nothing is done.
  Outcome<void> stop_if_dry_run() const;

 private:
  Outcome<void> check(const iam::AccessRequest& request, const std::optional<iam::KeyGuard>& guard) const;
};

// The answer's body; null for operations that answer none.
using Operation = Outcome<http::Json> (*)(Call& call);
struct OperationEntry {
  std::string_view name;
  Operation run;
};
std::span<const OperationEntry> alias_operations();
std::span<const OperationEntry> key_operations();
std::span<const OperationEntry> lifecycle_operations();
std::span<const OperationEntry> policy_operations();
std::span<const OperationEntry> cipher_operations();
std::span<const OperationEntry> tag_operations();

// A time as the API's JSON has it.
double seconds_of(sys::UnixMillis at);
// KeyMaterialId: 64 hexadecimal digits that tell one material of one key from all others and nothing else.
std::string material_id(std::string_view key_id, std::uint32_t version);

// aws:RequestTag/… and aws:TagKeys.
void describe_tags(iam::RequestContext& context, const std::vector<Tag>& tags);

// The member Policy. LimitExceededException.
Outcome<std::optional<std::string>> policy_text(const Call& call);
// Parses and checks what is to become a key's policy, lockout included. MalformedPolicyDocumentException.
Outcome<void> check_new_policy(Call& call, std::string_view policy, std::string_view key_resource,
                               bool bypass_lockout_check);

}  // namespace cloister::emulator
