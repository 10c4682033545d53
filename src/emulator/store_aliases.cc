// Aliases: names for keys.
#include "emulator/store.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kAliasColumns = "SELECT name, key_id, created, updated FROM aliases ";

AliasRecord read_alias(const Query& row) {
  return {.name = row.text(0), .key_id = row.text(1), .created = row.integer(2), .updated = row.integer(3)};
}

}  // namespace

Status Store::require_room_for_aliases(std::string_view key_id) {
  if (TRY(count("SELECT count(*) FROM aliases WHERE key_id = ?", key_id)) > static_cast<int>(kMaxAliases)) {
    return fail(ErrorKind::exhausted, "a key has at most {} aliases", kMaxAliases);
  }
  return {};
}

Status Store::create_alias(std::string_view name, std::string_view key_id, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  TRY(database_.run(
      "INSERT INTO aliases (name, key_id, created, updated) VALUES (?1, ?2, ?3, ?3) ON CONFLICT (name) DO "
      "NOTHING",
      name, key_id, now));
  if (database_.changes() == 0) return fail(ErrorKind::invalid, "the alias exists");
  TRY(require_room_for_aliases(key_id));
  return transaction.commit();
}

Status Store::update_alias(std::string_view name, std::string_view key_id, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  TRY(database_.run("UPDATE aliases SET key_id = ?, updated = ? WHERE name = ?", key_id, now, name));
  TRY(require_change("the alias"));
  TRY(require_room_for_aliases(key_id));
  return transaction.commit();
}

Status Store::delete_alias(std::string_view name) {
  std::lock_guard lock(mutex_);
  TRY(database_.run("DELETE FROM aliases WHERE name = ?", name));
  return require_change("the alias");
}

Result<AliasRecord> Store::alias(std::string_view name) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query(fmt::format("{}WHERE name = ?", kAliasColumns), name));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the alias does not exist");
  return read_alias(rows);
}

Result<std::vector<AliasRecord>> Store::aliases(std::string_view after, std::size_t limit,
                                                const std::optional<std::string>& key_id) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query(
      fmt::format("{}WHERE name > ?1 AND (?2 IS NULL OR key_id = ?2) ORDER BY name LIMIT ?3", kAliasColumns),
      after, key_id, static_cast<std::int64_t>(limit)));
  std::vector<AliasRecord> out;
  while (TRY(rows.next())) out.push_back(read_alias(rows));
  return out;
}

}  // namespace cloister::emulator
