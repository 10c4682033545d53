#include "emulator/store.h"

#include <charconv>

#include "crypto/digest.h"
#include "emulator/uuid.h"
#include "emulator/wrapping.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kSchemaVersion = "1";
constexpr std::string_view kCheckName = "master-check";
constexpr std::size_t kMasterSize = 32;  // bytes

constexpr std::string_view kSchema[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE keys (id TEXT PRIMARY KEY, enabled INTEGER NOT NULL, description TEXT NOT NULL, created "
    "INTEGER NOT NULL,"
    " policy TEXT NOT NULL, tags TEXT NOT NULL, material_version INTEGER NOT NULL)",
    "CREATE TABLE materials (key_id TEXT NOT NULL REFERENCES keys(id), version INTEGER NOT NULL, wrapped "
    "BLOB NOT NULL,"
    " created INTEGER NOT NULL, PRIMARY KEY (key_id, version))",
    "CREATE TABLE aliases (name TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys(id), created INTEGER "
    "NOT NULL)",
    "CREATE TABLE principals (arn TEXT PRIMARY KEY, caller_arn TEXT NOT NULL, account TEXT NOT NULL, "
    "identity_policy TEXT)",
    "CREATE TABLE access_keys (id TEXT PRIMARY KEY, principal TEXT NOT NULL REFERENCES principals(arn),"
    " wrapped BLOB NOT NULL, created INTEGER NOT NULL)",
};

constexpr std::string_view kKeyColumns =
    "SELECT id, enabled, description, created, policy, tags, material_version FROM keys ";

std::string material_name(std::string_view key_id, std::uint32_t version) {
  return fmt::format("material/{}/{}", key_id, version);
}
std::string access_key_name(std::string_view id) {
  return fmt::format("access-key/{}", id);
}

// Characters picked without bias: both alphabets have a size that divides 256.
std::string random_text(std::string_view prefix, std::size_t count, std::string_view alphabet) {
  std::string out(prefix);
  auto random = crypto::random_secret(count);
  for (auto byte : random.view()) out.push_back(alphabet[byte % alphabet.size()]);
  return out;
}

std::string random_access_key_id() {
  constexpr std::size_t kRandomPart = 16;  // characters
  return random_text("AKIA", kRandomPart, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
}

Secret random_secret_access_key() {
  constexpr std::size_t kLength = 40;  // characters, 240 bits
  auto text = random_text("", kLength, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  Secret out(as_bytes(text));
  wipe(text);
  return out;
}

}  // namespace

Result<std::unique_ptr<Store>> Store::create(const std::string& path, Secret master,
                                             const Settings& settings) {
  if (master.size() != kMasterSize)
    return fail(ErrorKind::invalid, "the master key is not {} bytes", kMasterSize);
  auto database = TRY(Database::open(path, true));
  std::unique_ptr<Store> store(new Store(std::move(database), std::move(master)));
  auto transaction = TRY(Transaction::begin(store->database_));
  TRY(store->create_schema().context(path));
  TRY(store->save_settings(settings));
  TRY(transaction.commit());
  store->settings_ = settings;
  return store;
}

Result<std::unique_ptr<Store>> Store::open(const std::string& path, Secret master) {
  if (master.size() != kMasterSize)
    return fail(ErrorKind::corrupt, "the master key is not {} bytes", kMasterSize);
  auto database = TRY(Database::open(path, false));
  std::unique_ptr<Store> store(new Store(std::move(database), std::move(master)));
  TRY(store->load_settings().context(path));
  return store;
}

Status Store::create_schema() {
  for (auto sql : kSchema) TRY(database_.run(sql));
  return {};
}

Status Store::save_settings(const Settings& settings) {
  constexpr std::string_view kInsert = "INSERT INTO meta (name, value) VALUES (?, ?)";
  TRY(database_.run(kInsert, std::string_view("schema"), as_bytes(kSchemaVersion)));
  TRY(database_.run(kInsert, std::string_view("region"), as_bytes(settings.region)));
  TRY(database_.run(kInsert, std::string_view("account"), as_bytes(settings.account)));
  TRY(database_.run(kInsert, std::string_view("port"), as_bytes(std::to_string(settings.port))));
  auto check = wrap_secret(master_, kCheckName, Secret(as_bytes(kCheckName)));
  return database_.run(kInsert, kCheckName, ByteView(check));
}

Status Store::load_settings() {
  if (TRY(meta("schema")) != kSchemaVersion)
    return fail(ErrorKind::invalid, "another version of this program made it");
  if (!unwrap_secret(master_, kCheckName, as_bytes(TRY(meta(kCheckName))))) {
    return fail(ErrorKind::denied, "master.key is not the key that it was made with");
  }
  settings_.region = TRY(meta("region"));
  settings_.account = TRY(meta("account"));
  auto port = TRY(meta("port"));
  if (std::from_chars(port.data(), port.data() + port.size(), settings_.port).ec != std::errc()) {
    return fail(ErrorKind::corrupt, "the port is not a number");
  }
  return {};
}

Result<std::string> Store::meta(std::string_view name) {
  auto rows = TRY(database_.query("SELECT value FROM meta WHERE name = ?", name));
  if (!TRY(rows.next())) return fail(ErrorKind::corrupt, "{} is missing", name);
  return rows.text(0);
}

std::string Store::key_arn(std::string_view id) const {
  return fmt::format("arn:aws:kms:{}:{}:key/{}", settings_.region, settings_.account, id);
}

std::string Store::alias_arn(std::string_view name) const {
  return fmt::format("arn:aws:kms:{}:{}:{}", settings_.region, settings_.account, name);
}

Status Store::require_change(std::string_view what) const {
  if (database_.changes() == 0) return fail(ErrorKind::not_found, "{} does not exist", what);
  return {};
}

namespace {

KeyRecord read_key(const Query& row) {
  return KeyRecord{.id = row.text(0),
                   .arn = {},
                   .enabled = row.integer(1) != 0,
                   .description = row.text(2),
                   .created = row.integer(3),
                   .policy = row.text(4),
                   .tags = row.text(5),
                   .material_version = static_cast<std::uint32_t>(row.integer(6))};
}

AliasRecord read_alias(const Query& row) {
  return {.name = row.text(0), .key_id = row.text(1), .created = row.integer(2)};
}

}  // namespace

Status Store::insert_material(std::string_view key_id, std::uint32_t version, sys::UnixMillis now) {
  auto wrapped = wrap_secret(master_, material_name(key_id, version), crypto::random_secret(kMaterialSize));
  return database_.run("INSERT INTO materials (key_id, version, wrapped, created) VALUES (?, ?, ?, ?)",
                       key_id, std::int64_t{version}, ByteView(wrapped), now);
}

Result<KeyRecord> Store::create_key(const NewKey& key, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto id = random_uuid();
  auto transaction = TRY(Transaction::begin(database_));
  TRY(
      database_.run("INSERT INTO keys (id, enabled, description, created, policy, tags, material_version)"
                    " VALUES (?, 1, ?, ?, ?, ?, 1)",
                    std::string_view(id), std::string_view(key.description), now,
                    std::string_view(key.policy), std::string_view(key.tags)));
  TRY(insert_material(id, 1, now));
  TRY(transaction.commit());
  return KeyRecord{.id = id,
                   .arn = key_arn(id),
                   .description = key.description,
                   .created = now,
                   .policy = key.policy,
                   .tags = key.tags};
}

Result<KeyRecord> Store::key(std::string_view id) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query(fmt::format("{}WHERE id = ?", kKeyColumns), id));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the key does not exist");
  auto record = read_key(rows);
  record.arn = key_arn(record.id);
  return record;
}

Result<std::vector<KeyRecord>> Store::keys(std::string_view after, std::size_t limit) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query(fmt::format("{}WHERE id > ? ORDER BY id LIMIT ?", kKeyColumns), after,
                                  static_cast<std::int64_t>(limit)));
  std::vector<KeyRecord> out;
  while (TRY(rows.next())) {
    out.push_back(read_key(rows));
    out.back().arn = key_arn(out.back().id);
  }
  return out;
}

Status Store::set_policy(std::string_view id, std::string_view policy) {
  std::lock_guard lock(mutex_);
  TRY(database_.run("UPDATE keys SET policy = ? WHERE id = ?", policy, id));
  return require_change("the key");
}

Status Store::set_enabled(std::string_view id, bool enabled) {
  std::lock_guard lock(mutex_);
  TRY(database_.run("UPDATE keys SET enabled = ? WHERE id = ?", std::int64_t{enabled}, id));
  return require_change("the key");
}

Result<Secret> Store::material(std::string_view key_id, std::uint32_t version) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query("SELECT wrapped FROM materials WHERE key_id = ? AND version = ?", key_id,
                                  std::int64_t{version}));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the key has no such material");
  return unwrap_secret(master_, material_name(key_id, version), rows.blob(0));
}

Result<std::uint32_t> Store::rotate(std::string_view key_id, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  TRY(database_.run("UPDATE keys SET material_version = material_version + 1 WHERE id = ?", key_id));
  TRY(require_change("the key"));
  std::uint32_t version = 0;
  {
    // The statement ends before the transaction does.
    auto rows = TRY(database_.query("SELECT material_version FROM keys WHERE id = ?", key_id));
    TRY(rows.next());
    version = static_cast<std::uint32_t>(rows.integer(0));
  }
  TRY(insert_material(key_id, version, now));
  TRY(transaction.commit());
  return version;
}

Status Store::create_alias(std::string_view name, std::string_view key_id, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  TRY(database_.run(
      "INSERT INTO aliases (name, key_id, created) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING", name,
      key_id, now));
  if (database_.changes() == 0) return fail(ErrorKind::invalid, "the alias exists");
  return {};
}

Status Store::delete_alias(std::string_view name) {
  std::lock_guard lock(mutex_);
  TRY(database_.run("DELETE FROM aliases WHERE name = ?", name));
  return require_change("the alias");
}

Result<AliasRecord> Store::alias(std::string_view name) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query("SELECT name, key_id, created FROM aliases WHERE name = ?", name));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the alias does not exist");
  return read_alias(rows);
}

Result<std::vector<AliasRecord>> Store::aliases(std::string_view after, std::size_t limit,
                                                const std::optional<std::string>& key_id) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query(
      "SELECT name, key_id, created FROM aliases WHERE name > ?1 AND (?2 IS NULL OR key_id = ?2)"
      " ORDER BY name LIMIT ?3",
      after, key_id, static_cast<std::int64_t>(limit)));
  std::vector<AliasRecord> out;
  while (TRY(rows.next())) out.push_back(read_alias(rows));
  return out;
}

Status Store::add_principal(const PrincipalRecord& principal) {
  std::lock_guard lock(mutex_);
  TRY(
      database_.run("INSERT INTO principals (arn, caller_arn, account, identity_policy) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (arn) DO NOTHING",
                    std::string_view(principal.arn), std::string_view(principal.caller_arn),
                    std::string_view(principal.account), principal.identity_policy));
  if (database_.changes() == 0) return fail(ErrorKind::invalid, "the principal exists");
  return {};
}

Result<bool> Store::has_principal(std::string_view arn) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query("SELECT 1 FROM principals WHERE arn = ?1 OR caller_arn = ?1", arn));
  return rows.next();
}

Result<AccessKey> Store::create_access_key(std::string_view principal_arn, sys::UnixMillis now) {
  auto id = random_access_key_id();
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
  auto rows =
      TRY(database_.query("SELECT k.id, k.wrapped, p.arn, p.caller_arn, p.account, p.identity_policy"
                          " FROM access_keys k JOIN principals p ON p.arn = k.principal WHERE k.id = ?",
                          id));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the access key does not exist");
  AccessKey out;
  out.id = rows.text(0);
  out.secret = TRY(unwrap_secret(master_, access_key_name(id), rows.blob(1)));
  out.principal = {
      .arn = rows.text(2), .caller_arn = rows.text(3), .account = rows.text(4), .identity_policy = {}};
  if (!rows.is_null(5)) out.principal.identity_policy = rows.text(5);
  return out;
}

}  // namespace cloister::emulator
