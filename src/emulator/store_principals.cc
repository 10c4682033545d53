// The store's principals: users and roles, long-lived access keys, and the seal under which session tokens
// carry what they are.
#include "emulator/access_key.h"
#include "emulator/store.h"
#include "emulator/wrapping.h"

namespace cloister::emulator {

namespace {

std::string access_key_name(std::string_view id) {
  return fmt::format("access-key/{}", id);
}
std::string session_name(std::string_view access_key_id) {
  return fmt::format("session/{}", access_key_id);
}

// Columns 0 to 4 of a row.
PrincipalRecord read_principal(const Query& row) {
  PrincipalRecord out{.arn = row.text(0),
                      .caller_arn = row.text(1),
                      .account = row.text(2),
                      .identity_policy = {},
                      .trust_policy = {}};
  if (!row.is_null(3)) out.identity_policy = row.text(3);
  if (!row.is_null(4)) out.trust_policy = row.text(4);
  return out;
}

constexpr std::string_view kPrincipalColumns =
    "SELECT p.arn, p.caller_arn, p.account, p.identity_policy, t.policy";
constexpr std::string_view kPrincipalTables =
    "FROM principals p LEFT JOIN trust_policies t ON t.principal = p.arn";

}  // namespace

Status Store::ensure_principal_schema() {
  // Beside the first schema, not in it: databases made before there were trust policies get the table too.
  return database_.run(
      "CREATE TABLE IF NOT EXISTS trust_policies"
      " (principal TEXT PRIMARY KEY REFERENCES principals(arn), policy TEXT NOT NULL)");
}

Status Store::add_principal(const PrincipalRecord& principal) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  TRY(
      database_.run("INSERT INTO principals (arn, caller_arn, account, identity_policy) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (arn) DO NOTHING",
                    std::string_view(principal.arn), std::string_view(principal.caller_arn),
                    std::string_view(principal.account), principal.identity_policy));
  if (database_.changes() == 0) return fail(ErrorKind::invalid, "the principal exists");
  if (principal.trust_policy) {
    TRY(database_.run("INSERT INTO trust_policies (principal, policy) VALUES (?, ?)",
                      std::string_view(principal.arn), std::string_view(*principal.trust_policy)));
  }
  return transaction.commit();
}

Result<PrincipalRecord> Store::principal(std::string_view arn) {
  std::lock_guard lock(mutex_);
  auto rows =
      TRY(database_.query(fmt::format("{} {} WHERE p.arn = ?", kPrincipalColumns, kPrincipalTables), arn));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the principal does not exist");
  return read_principal(rows);
}

Result<bool> Store::has_principal(std::string_view arn) {
  // "arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION" is a session of a role; the name is the caller's choice.
  constexpr std::string_view kAssumed = ":assumed-role/";
  std::string role;
  auto at = arn.find(kAssumed);
  if (at != std::string_view::npos) {
    auto rest = arn.substr(at + kAssumed.size());
    auto account = arn.substr(0, at).substr(arn.substr(0, at).rfind(':') + 1);
    role = fmt::format("arn:aws:iam::{}:role/{}", account, rest.substr(0, rest.find('/')));
  }
  std::lock_guard lock(mutex_);
  auto rows = TRY(
      database_.query("SELECT 1 FROM principals WHERE arn = ?1 OR arn = ?2", arn, std::string_view(role)));
  return rows.next();
}

Result<AccessKey> Store::create_access_key(std::string_view principal_arn, sys::UnixMillis now) {
  auto id = random_access_key_id(kLongLived);
  {
    std::lock_guard lock(mutex_);
    auto secret = random_secret_access_key();
    auto wrapped = wrap_secret(master_, access_key_name(id), secret);
    TRY(database_.run("INSERT INTO access_keys (id, principal, wrapped, created) VALUES (?, ?, ?, ?)",
                      std::string_view(id), principal_arn, ByteView(wrapped), now));
  }
  return access_key(id);
}

Result<AccessKey> Store::access_key(std::string_view id) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query(fmt::format("{}, k.wrapped {} JOIN access_keys k ON k.principal = p.arn"
                                              " WHERE k.id = ?",
                                              kPrincipalColumns, kPrincipalTables),
                                  id));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the access key does not exist");
  AccessKey out;
  out.id = id;
  out.secret = TRY(unwrap_secret(master_, access_key_name(id), rows.blob(5)));
  out.principal = read_principal(rows);
  return out;
}

Bytes Store::seal_session(std::string_view access_key_id, const Secret& session) const {
  return wrap_secret(master_, session_name(access_key_id), session);
}

Result<Secret> Store::open_session(std::string_view access_key_id, ByteView sealed) const {
  return unwrap_secret(master_, session_name(access_key_id), sealed);
}

}  // namespace cloister::emulator
