#include "emulator/principals.h"

#include <algorithm>

#include "iam/policy.h"
#include "kms/credentials.h"
#include "sys/file.h"

namespace cloister::emulator {

namespace {

constexpr mode_t kPrivate = 0600;

// For a shell: quoted unless every character is harmless.
std::string shell_word(std::string_view text) {
  if (made_of(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_./:+=@-")) return std::string(text);
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out.push_back(c);
  }
  return out + "'";
}

Status write_env(const std::string& file, const std::string& directory, const Settings& settings,
                 const kms::Credentials& credentials) {
  std::string text;
  auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("export {}={}\n", name, shell_word(value));
  };
  line("AWS_ACCESS_KEY_ID", credentials.access_key_id);
  line("AWS_SECRET_ACCESS_KEY", as_text(credentials.secret_access_key.view()));
  if (credentials.session_token)
    line("AWS_SESSION_TOKEN", as_text(credentials.session_token->view()));
  else
    text += "unset AWS_SESSION_TOKEN\n";  // of a session that this shell had before
  line("AWS_REGION", settings.region);
  line("AWS_DEFAULT_REGION", settings.region);
  line("AWS_ENDPOINT_URL_KMS", fmt::format("https://127.0.0.1:{}", settings.port));
  line("AWS_CA_BUNDLE", directory + "/ca.pem");
  line("AWS_EC2_METADATA_DISABLED", "true");
  auto written = sys::write_file_atomic(file, as_bytes(text), kPrivate);
  wipe(text);
  return written;
}

std::string role_arn(std::string_view account, std::string_view name) {
  return fmt::format("arn:aws:iam::{}:role/{}", account, name);
}

Status check(const NewPrincipal& principal, std::string_view account) {
  constexpr std::size_t kMaxName = 64;  // characters, as IAM
  if (!made_of(principal.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_+=,.@-") || principal.name.size() > kMaxName) {
    return fail(ErrorKind::invalid, "a name is 1 to {} letters, digits and _+=,.@-", kMaxName);
  }
  TRY(check_account(account));
  if (principal.identity_policy)
    TRY(iam::Policy::parse(*principal.identity_policy, iam::PolicyKind::identity));
  if (principal.trust_policy && !principal.role)
    return fail(ErrorKind::invalid, "a user has no trust policy");
  if (principal.trust_policy) TRY(iam::Policy::parse(*principal.trust_policy, iam::PolicyKind::trust));
  return {};
}

}  // namespace

bool made_of(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || extra.find(c) != std::string_view::npos;
  });
}

Status check_account(std::string_view account) {
  constexpr std::size_t kAccountDigits = 12;
  bool digits = std::all_of(account.begin(), account.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (account.size() != kAccountDigits || !digits)
    return fail(ErrorKind::invalid, "an account is {} digits", kAccountDigits);
  return {};
}

Status add_principal(Store& store, const std::string& directory, const NewPrincipal& principal,
                     const std::string& env_file, sys::UnixMillis now) {
  const auto& account = principal.account.empty() ? store.settings().account : principal.account;
  TRY(check(principal, account));
  PrincipalRecord record{.arn = role_arn(account, principal.name),
                         .caller_arn = {},
                         .account = account,
                         .identity_policy = principal.identity_policy,
                         .trust_policy = principal.trust_policy};
  if (principal.role) {
    record.caller_arn = fmt::format("arn:aws:sts::{}:assumed-role/{}/session", account, principal.name);
    if (!record.trust_policy) record.trust_policy = iam::default_trust_policy(account);
  } else {
    record.arn = fmt::format("arn:aws:iam::{}:user/{}", account, principal.name);
    record.caller_arn = record.arn;
  }
  TRY(store.add_principal(record));
  auto key = TRY(store.create_access_key(record.arn, now));
  return write_env(env_file, directory, store.settings(), {key.id, std::move(key.secret), {}});
}

Status add_session(Store& store, const std::string& directory, const SessionRequest& request,
                   const std::string& env_file, sys::UnixMillis now) {
  const auto& account = request.account.empty() ? store.settings().account : request.account;
  auto arn = role_arn(account, request.role);
  TRY(store.principal(arn).context(arn));
  auto [session, token] = TRY(make_session(
      store, {.role_arn = arn, .name = request.name, .lifetime = request.lifetime, .policy = request.policy},
      now));
  return write_env(env_file, directory, store.settings(),
                   {session.access_key_id, std::move(session.secret), std::move(token)});
}

}  // namespace cloister::emulator
