#include "kms/scope.h"

#include "base/log.h"

namespace cloister::kms {

namespace {

constexpr std::string_view kFederatedName = "cloister";

// Up to the next separator; the rest of the text stays.
std::string_view take_part(std::string_view& text, char separator) {
  auto part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

}  // namespace

SessionScope decrypt_only(const KeyArn& key) {
  return {
      .policy = fmt::format(
          R"({{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"kms:Decrypt","Resource":"{}"}}]}})",
          key.to_string())};
}

Result<std::string> role_of_session(std::string_view arn) {
  auto rest = arn;
  bool begins = take_part(rest, ':') == "arn";
  auto partition = take_part(rest, ':');
  bool sts = take_part(rest, ':') == "sts";
  take_part(rest, ':');  // no region
  auto account = take_part(rest, ':');
  if (!begins || !sts || take_part(rest, '/') != "assumed-role" || rest.find('/') == rest.npos)
    return fail(ErrorKind::not_found, "'{}' is not a role's session", escape_controls(arn));
  return fmt::format("arn:{}:iam::{}:role/{}", partition, account, take_part(rest, '/'));
}

Result<Credentials> narrow(const Sts& sts, const Credentials& found, const SessionScope& scope,
                           const std::string& role, const sys::Clock& clock) {
  if (role.empty() && !found.session_token) return sts.federation_token(found, kFederatedName, scope);
  RoleRequest request{.arn = role,
                      .session_name = fmt::format("cloister-{}", clock.now()),
                      .external_id = {},
                      .seconds = scope.seconds,
                      .policy = scope.policy};
  if (role.empty()) request.arn = TRY(role_of_session(TRY(sts.caller_arn(found))));
  return sts.assume_role(found, request);
}

}  // namespace cloister::kms
