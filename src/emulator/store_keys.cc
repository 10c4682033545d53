// Keys, their materials and their tags.
#include <algorithm>
#include <limits>

#include "crypto/digest.h"
#include "emulator/store.h"
#include "emulator/uuid.h"
#include "emulator/wrapping.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kOnDemand = "ON_DEMAND";
constexpr std::string_view kAutomatic = "AUTOMATIC";
constexpr sys::UnixMillis kDay = 24 * 60 * 60 * 1000;  // milliseconds
constexpr sys::UnixMillis kNever = std::numeric_limits<sys::UnixMillis>::max();
constexpr std::int64_t kDefaultRotationDays = 365;

constexpr std::string_view kKeyColumns =
    "SELECT id, enabled, description, created, policy, material_version, deletion, rotation_days, "
    "next_rotation FROM keys ";

std::string material_name(std::string_view key_id, std::uint32_t version) {
  return fmt::format("material/{}/{}", key_id, version);
}

KeyRecord read_key(const Query& row) {
  KeyRecord out{.id = row.text(0),
                .arn = {},
                .enabled = row.integer(1) != 0,
                .description = row.text(2),
                .created = row.integer(3),
                .policy = row.text(4),
                .material_version = static_cast<std::uint32_t>(row.integer(5))};
  if (!row.is_null(6)) out.deletion = row.integer(6);
  if (!row.is_null(7)) out.rotation_days = row.integer(7);
  out.next_rotation = row.integer(8);
  return out;
}

}  // namespace

Status Store::insert_material(std::string_view key_id, std::uint32_t version, std::string_view rotation,
                              sys::UnixMillis now) {
  auto wrapped = wrap_secret(master_, material_name(key_id, version), crypto::random_secret(kMaterialSize));
  return database_.run(
      "INSERT INTO materials (key_id, version, wrapped, rotation, created) VALUES (?, ?, ?, ?, ?)", key_id,
      std::int64_t{version}, ByteView(wrapped), rotation, now);
}

Status Store::insert_tags(std::string_view key_id, const std::vector<Tag>& tags) {
  for (const auto& tag : tags) {
    TRY(
        database_.run("INSERT INTO tags (key_id, name, value) VALUES (?, ?, ?)"
                      " ON CONFLICT (key_id, name) DO UPDATE SET value = excluded.value",
                      key_id, std::string_view(tag.key), std::string_view(tag.value)));
  }
  if (TRY(count("SELECT count(*) FROM tags WHERE key_id = ?", key_id)) > static_cast<int>(kMaxTags)) {
    return fail(ErrorKind::exhausted, "a key has at most {} tags", kMaxTags);
  }
  return {};
}

Result<KeyRecord> Store::create_key(const NewKey& key, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto id = random_uuid();
  auto transaction = TRY(Transaction::begin(database_));
  TRY(database_.run(
      "INSERT INTO keys (id, enabled, description, created, policy, material_version)"
      " VALUES (?, 1, ?, ?, ?, 1)",
      std::string_view(id), std::string_view(key.description), now, std::string_view(key.policy)));
  TRY(insert_material(id, 1, "", now));
  TRY(insert_tags(id, key.tags));
  TRY(transaction.commit());
  return KeyRecord{
      .id = id, .arn = key_arn(id), .description = key.description, .created = now, .policy = key.policy};
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
  TRY(require_change("the key"));
  return load_next_event();
}

Status Store::set_description(std::string_view id, std::string_view description) {
  std::lock_guard lock(mutex_);
  TRY(database_.run("UPDATE keys SET description = ? WHERE id = ?", description, id));
  return require_change("the key");
}

Result<Secret> Store::material(std::string_view key_id, std::uint32_t version) {
  std::lock_guard lock(mutex_);
  auto rows = TRY(database_.query("SELECT wrapped FROM materials WHERE key_id = ? AND version = ?", key_id,
                                  std::int64_t{version}));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the key has no such material");
  return unwrap_secret(master_, material_name(key_id, version), rows.blob(0));
}

// --- tags
// -----------------------------------------------------------------------------------------------------

Status Store::add_tags(std::string_view key_id, const std::vector<Tag>& tags) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  TRY(insert_tags(key_id, tags));
  return transaction.commit();
}

Status Store::remove_tags(std::string_view key_id, const std::vector<std::string>& tag_keys) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  for (const auto& name : tag_keys) {
    TRY(database_.run("DELETE FROM tags WHERE key_id = ? AND name = ?", key_id, std::string_view(name)));
  }
  return transaction.commit();
}

Result<std::vector<Tag>> Store::tags(std::string_view key_id, std::string_view after, std::size_t limit) {
  std::lock_guard lock(mutex_);
  auto rows =
      TRY(database_.query("SELECT name, value FROM tags WHERE key_id = ? AND name > ? ORDER BY name LIMIT ?",
                          key_id, after, static_cast<std::int64_t>(limit)));
  std::vector<Tag> out;
  while (TRY(rows.next())) out.push_back({.key = rows.text(0), .value = rows.text(1)});
  return out;
}

// --- rotation and deletion
// ------------------------------------------------------------------------------------

Result<std::uint32_t> Store::next_material(std::string_view key_id, std::string_view rotation,
                                           sys::UnixMillis now) {
  TRY(database_.run("UPDATE keys SET material_version = material_version + 1 WHERE id = ?", key_id));
  TRY(require_change("the key"));
  auto version =
      static_cast<std::uint32_t>(TRY(count("SELECT material_version FROM keys WHERE id = ?", key_id)));
  TRY(insert_material(key_id, version, rotation, now));
  return version;
}

Result<std::uint32_t> Store::rotate(std::string_view key_id, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto transaction = TRY(Transaction::begin(database_));
  auto done =
      TRY(count("SELECT count(*) FROM materials WHERE key_id = ? AND rotation = 'ON_DEMAND'", key_id));
  if (done >= kMaxOnDemandRotations) {
    return fail(ErrorKind::exhausted, "a key is rotated at most {} times", kMaxOnDemandRotations);
  }
  auto version = TRY(next_material(key_id, kOnDemand, now));
  TRY(transaction.commit());
  return version;
}

Result<std::vector<Rotation>> Store::rotations(std::string_view key_id, std::uint32_t after,
                                               std::size_t limit) {
  std::lock_guard lock(mutex_);
  auto rows =
      TRY(database_.query("SELECT version, rotation, created FROM materials"
                          " WHERE key_id = ? AND version > ? AND version > 1 ORDER BY version LIMIT ?",
                          key_id, std::int64_t{after}, static_cast<std::int64_t>(limit)));
  std::vector<Rotation> out;
  while (TRY(rows.next())) {
    out.push_back({.version = static_cast<std::uint32_t>(rows.integer(0)),
                   .type = rows.text(1),
                   .at = rows.integer(2)});
  }
  return out;
}

Status Store::set_rotation(std::string_view key_id, std::optional<std::int64_t> days, sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  if (days) {
    TRY(database_.run("UPDATE keys SET rotation_days = ?, next_rotation = ? WHERE id = ?", *days,
                      now + *days * kDay, key_id));
  } else {
    TRY(database_.run("UPDATE keys SET rotation_days = NULL, next_rotation = NULL WHERE id = ?", key_id));
  }
  TRY(require_change("the key"));
  return load_next_event();
}

Status Store::schedule_deletion(std::string_view key_id, std::optional<sys::UnixMillis> deletion) {
  std::lock_guard lock(mutex_);
  if (deletion) {
    TRY(database_.run("UPDATE keys SET deletion = ? WHERE id = ?", *deletion, key_id));
  } else {
    TRY(database_.run("UPDATE keys SET deletion = NULL, enabled = 0 WHERE id = ?", key_id));
  }
  TRY(require_change("the key"));
  return load_next_event();
}

// Disabled keys are rotated once they are enabled again, as at AWS: they do not count here, or every request
// would look for them.
Status Store::load_next_event() {
  auto rows = TRY(
      database_.query("SELECT min(deletion), min(CASE WHEN enabled AND deletion IS NULL THEN next_rotation"
                      " END) FROM keys"));
  TRY(rows.next());
  next_event_ =
      std::min(rows.is_null(0) ? kNever : rows.integer(0), rows.is_null(1) ? kNever : rows.integer(1));
  return {};
}

Status Store::maintain(sys::UnixMillis now) {
  std::lock_guard lock(mutex_);
  if (now < next_event_) return {};
  auto transaction = TRY(Transaction::begin(database_));
  TRY(delete_due_keys(now));
  TRY(rotate_due_keys(now));
  TRY(transaction.commit());
  // What was deleted is not in the write-ahead log either.
  TRY(database_.run("PRAGMA wal_checkpoint(TRUNCATE)"));
  return load_next_event();
}

Status Store::delete_due_keys(sys::UnixMillis now) {
  for (const char* table : {"materials", "tags", "aliases"}) {
    auto sql = fmt::format("DELETE FROM {} WHERE key_id IN (SELECT id FROM keys WHERE deletion <= ?)", table);
    TRY(database_.run(sql, now));
  }
  return database_.run("DELETE FROM keys WHERE deletion <= ?", now);
}

// Once, however many periods have passed.
Status Store::rotate_due_keys(sys::UnixMillis now) {
  std::vector<KeyRecord> due;
  {
    auto rows = TRY(database_.query(
        fmt::format("{}WHERE enabled AND deletion IS NULL AND next_rotation <= ?", kKeyColumns), now));
    while (TRY(rows.next())) due.push_back(read_key(rows));
  }
  for (const auto& key : due) {
    TRY(next_material(key.id, kAutomatic, now));
    TRY(database_.run("UPDATE keys SET next_rotation = ? WHERE id = ?",
                      now + key.rotation_days.value_or(kDefaultRotationDays) * kDay,
                      std::string_view(key.id)));
  }
  return {};
}

}  // namespace cloister::emulator
