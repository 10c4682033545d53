// The tables, and the way to them from those of older versions.
#include <charconv>

#include "emulator/store.h"

namespace cloister::emulator {

namespace {

constexpr int kSchemaVersion = 2;

constexpr std::string_view kSchema[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE keys (id TEXT PRIMARY KEY, enabled INTEGER NOT NULL, description TEXT NOT NULL, created "
    "INTEGER NOT NULL, policy TEXT NOT NULL, material_version INTEGER NOT NULL, deletion INTEGER, "
    "rotation_days INTEGER, next_rotation INTEGER)",
    "CREATE TABLE materials (key_id TEXT NOT NULL REFERENCES keys(id), version INTEGER NOT NULL, wrapped "
    "BLOB NOT NULL, created INTEGER NOT NULL, rotation TEXT NOT NULL DEFAULT '', PRIMARY KEY (key_id, "
    "version))",
    "CREATE TABLE tags (key_id TEXT NOT NULL REFERENCES keys(id), name TEXT NOT NULL, value TEXT NOT NULL, "
    "PRIMARY KEY (key_id, name))",
    "CREATE TABLE aliases (name TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys(id), created INTEGER "
    "NOT NULL, updated INTEGER NOT NULL)",
    "CREATE TABLE principals (arn TEXT PRIMARY KEY, caller_arn TEXT NOT NULL, account TEXT NOT NULL, "
    "identity_policy TEXT)",
    "CREATE TABLE access_keys (id TEXT PRIMARY KEY, principal TEXT NOT NULL REFERENCES principals(arn),"
    " wrapped BLOB NOT NULL, created INTEGER NOT NULL)",
};

// Tags were one JSON text per key.
constexpr std::string_view kFrom1To2[] = {
    "ALTER TABLE keys ADD COLUMN deletion INTEGER",
    "ALTER TABLE keys ADD COLUMN rotation_days INTEGER",
    "ALTER TABLE keys ADD COLUMN next_rotation INTEGER",
    "ALTER TABLE materials ADD COLUMN rotation TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE aliases ADD COLUMN updated INTEGER NOT NULL DEFAULT 0",
    "UPDATE aliases SET updated = created",
    "CREATE TABLE tags (key_id TEXT NOT NULL REFERENCES keys(id), name TEXT NOT NULL, value TEXT NOT NULL, "
    "PRIMARY KEY (key_id, name))",
    "INSERT INTO tags (key_id, name, value) SELECT keys.id, json_extract(tag.value, '$.TagKey'),"
    " json_extract(tag.value, '$.TagValue') FROM keys, json_each(keys.tags) AS tag",
    "ALTER TABLE keys DROP COLUMN tags",
};

struct Migration {
  int from;
  std::span<const std::string_view> statements;
};
// In order; each leads to the next version.
constexpr Migration kMigrations[] = {{1, kFrom1To2}};

}  // namespace

Status Store::create_schema() {
  for (auto sql : kSchema) TRY(database_.run(sql));
  return database_.run("INSERT INTO meta (name, value) VALUES ('schema', ?)",
                       as_bytes(std::to_string(kSchemaVersion)));
}

Result<int> Store::schema_version() {
  auto text = TRY(meta("schema"));
  int version = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), version).ec != std::errc() || version < 1) {
    return fail(ErrorKind::corrupt, "the schema's version is not a number");
  }
  return version;
}

Status Store::bring_up_to_date() {
  auto version = TRY(schema_version());
  if (version == kSchemaVersion) return {};
  if (version > kSchemaVersion) {
    return std::unexpected(Error(ErrorKind::invalid, fmt::format("a newer version of this program made it "
                                                                 "(schema {}, this one knows {})",
                                                                 version, kSchemaVersion))
                               .with_hint("use the newer version, or another data directory"));
  }
  // All or nothing: whoever is killed here finds the old version again.
  auto transaction = TRY(Transaction::begin(database_));
  version = TRY(schema_version());  // another process may have been quicker
  for (const auto& step : kMigrations) {
    if (step.from < version) continue;
    for (auto sql : step.statements) TRY(database_.run(sql));
  }
  TRY(database_.run("UPDATE meta SET value = ? WHERE name = 'schema'",
                    as_bytes(std::to_string(kSchemaVersion))));
  return transaction.commit();
}

}  // namespace cloister::emulator
