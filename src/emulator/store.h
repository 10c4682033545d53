// Store: keys, aliases, principals and their access keys, in one SQLite file. Key material and secret access
// keys are wrapped by AES-256-GCM under the master key, each bound to its own name, so that rows cannot be
// swapped. Whatever a call acknowledged is still there after `kill -9`. Thread-safe: one connection behind a
// mutex.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "emulator/sqlite.h"
#include "sys/clock.h"

namespace cloister::emulator {

inline constexpr std::size_t kMaterialSize = 32;           // bytes of key material
inline constexpr std::size_t kMaxTags = 50;                // per key, as AWS KMS
inline constexpr std::size_t kMaxAliases = 50;             // per key, as AWS KMS
inline constexpr std::int64_t kMaxOnDemandRotations = 25;  // per key, as AWS KMS

// What an installation is; fixed when it is made.
struct Settings {
  std::string region = "us-east-1";
  std::string account = "111122223333";
  std::uint16_t port = 8480;
};

struct KeyRecord {
  std::string id;  // a UUID
  std::string arn;
  bool enabled = true;
  std::string description;
  sys::UnixMillis created = 0;
  std::string policy;  // JSON
  std::uint32_t material_version = 1;
  std::optional<sys::UnixMillis> deletion;    // pending deletion: when it goes
  std::optional<std::int64_t> rotation_days;  // rotated by itself: how often
  sys::UnixMillis next_rotation = 0;          // only where rotation_days is set
};

struct Tag {
  std::string key;
  std::string value;
};

struct NewKey {
  std::string description;
  std::string policy;
  std::vector<Tag> tags;
};

// One key material that took the place of another.
struct Rotation {
  std::uint32_t version = 0;
  std::string type;  // "ON_DEMAND", "AUTOMATIC"; empty: made before types were noted
  sys::UnixMillis at = 0;
};

struct AliasRecord {
  std::string name;  // "alias/…"
  std::string key_id;
  sys::UnixMillis created = 0;
  sys::UnixMillis updated = 0;
};

struct PrincipalRecord {
  std::string arn;         // the user or role
  std::string caller_arn;  // with its long-lived access key: a user: the same; a role: a session of it
  std::string account;
  std::optional<std::string> identity_policy;  // JSON
  std::optional<std::string> trust_policy;     // JSON; roles: who may assume it
};

struct AccessKey {
  std::string id;
  Secret secret;
  PrincipalRecord principal;
};

class Store {
 public:
  // A new database file, which must not exist. master: 32 bytes.
  static Result<std::unique_ptr<Store>> create(const std::string& path, Secret master,
                                               const Settings& settings);
  // denied: another master key than the one it was made with. A database of an older version is brought up to
  // this one; invalid: a newer version made it.
  static Result<std::unique_ptr<Store>> open(const std::string& path, Secret master);

  const Settings& settings() const { return settings_; }
  std::string key_arn(std::string_view id) const;
  std::string alias_arn(std::string_view name) const;

  Result<KeyRecord> create_key(const NewKey& key, sys::UnixMillis now);
  // not_found where the key, alias or access key does not exist.
  Result<KeyRecord> key(std::string_view id);
  // In order of id, those after `after`.
  Result<std::vector<KeyRecord>> keys(std::string_view after, std::size_t limit);
  Status set_policy(std::string_view id, std::string_view policy);
  Status set_enabled(std::string_view id, bool enabled);
  Status set_description(std::string_view id, std::string_view description);
  // The material that new ciphertexts use, and older ones for as long as there are ciphertexts.
  Result<Secret> material(std::string_view key_id, std::uint32_t version);

  // Replaces tags of the same key. exhausted: the key would have more than kMaxTags.
  Status add_tags(std::string_view key_id, const std::vector<Tag>& tags);
  Status remove_tags(std::string_view key_id, const std::vector<std::string>& tag_keys);
  // In order of their keys, those after `after`.
  Result<std::vector<Tag>> tags(std::string_view key_id, std::string_view after, std::size_t limit);

  // Adds a version and makes it the current one. exhausted: kMaxOnDemandRotations are used up.
  Result<std::uint32_t> rotate(std::string_view key_id, sys::UnixMillis now);
  // In order of version, those after `after`.
  Result<std::vector<Rotation>> rotations(std::string_view key_id, std::uint32_t after, std::size_t limit);
  // Every `days` from now on, or never.
  Status set_rotation(std::string_view key_id, std::optional<std::int64_t> days, sys::UnixMillis now);
  // Unusable until `deletion`, then gone; empty: stays after all, disabled.
  Status schedule_deletion(std::string_view key_id, std::optional<sys::UnixMillis> deletion);
  // Deletes the keys whose time has come, with all that is theirs, and rotates those that are due.
  Status maintain(sys::UnixMillis now);

  // invalid: the name is taken. exhausted: the key would have more than kMaxAliases.
  Status create_alias(std::string_view name, std::string_view key_id, sys::UnixMillis now);
  Status update_alias(std::string_view name, std::string_view key_id, sys::UnixMillis now);
  Status delete_alias(std::string_view name);
  Result<AliasRecord> alias(std::string_view name);
  // In order of name, those after `after`; of one key only, if given.
  Result<std::vector<AliasRecord>> aliases(std::string_view after, std::size_t limit,
                                           const std::optional<std::string>& key_id = {});

  // invalid: it exists.
  Status add_principal(const PrincipalRecord& principal);
  Result<PrincipalRecord> principal(std::string_view arn);
  // Also for any session of a role that is there.
  Result<bool> has_principal(std::string_view arn);
  // A fresh access key; the secret is given out here and to whoever verifies signatures.
  Result<AccessKey> create_access_key(std::string_view principal_arn, sys::UnixMillis now);
  Result<AccessKey> access_key(std::string_view id);
  // Sessions are not kept: they travel in their tokens, under the master key, bound to their access key's id.
  Bytes seal_session(std::string_view access_key_id, const Secret& session) const;
  // corrupt: not such a token, or another access key's.
  Result<Secret> open_session(std::string_view access_key_id, ByteView sealed) const;

 private:
  Store(Database database, Secret master) : database_(std::move(database)), master_(std::move(master)) {}
  Status create_schema();
  Status ensure_principal_schema();
  Result<int> schema_version();
  Status bring_up_to_date();
  Status save_settings(const Settings& settings);
  Status load_settings();
  Status load_next_event();
  Result<std::string> meta(std::string_view name);
  Result<std::int64_t> count(std::string_view sql, std::string_view key_id);
  Status insert_material(std::string_view key_id, std::uint32_t version, std::string_view rotation,
                         sys::UnixMillis now);
  Status insert_tags(std::string_view key_id, const std::vector<Tag>& tags);
  Result<std::uint32_t> next_material(std::string_view key_id, std::string_view rotation,
                                      sys::UnixMillis now);
  Status delete_due_keys(sys::UnixMillis now);
  Status rotate_due_keys(sys::UnixMillis now);
  Status require_room_for_aliases(std::string_view key_id);
  Status require_change(std::string_view what) const;

  std::mutex mutex_;
  Database database_;
  Secret master_;
  Settings settings_;
  sys::UnixMillis next_event_ = 0;  // the earliest deletion or rotation
};

}  // namespace cloister::emulator
