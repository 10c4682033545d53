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

inline constexpr std::size_t kMaterialSize = 32;  // bytes of key material

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
  std::string tags;    // JSON, as CreateKey was given them
  std::uint32_t material_version = 1;
};

struct NewKey {
  std::string description;
  std::string policy;
  std::string tags = "[]";
};

struct AliasRecord {
  std::string name;  // "alias/…"
  std::string key_id;
  sys::UnixMillis created = 0;
};

struct PrincipalRecord {
  std::string arn;         // the user or role
  std::string caller_arn;  // a user: the same; a role: its session
  std::string account;
  std::optional<std::string> identity_policy;  // JSON
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
  // denied: another master key than the one it was made with.
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
  // The material that new ciphertexts use, and older ones for as long as there are ciphertexts.
  Result<Secret> material(std::string_view key_id, std::uint32_t version);
  // Adds a version and makes it the current one.
  Result<std::uint32_t> rotate(std::string_view key_id, sys::UnixMillis now);

  // invalid: the name is taken.
  Status create_alias(std::string_view name, std::string_view key_id, sys::UnixMillis now);
  Status delete_alias(std::string_view name);
  Result<AliasRecord> alias(std::string_view name);
  // In order of name, those after `after`; of one key only, if given.
  Result<std::vector<AliasRecord>> aliases(std::string_view after, std::size_t limit,
                                           const std::optional<std::string>& key_id = {});

  Status add_principal(const PrincipalRecord& principal);
  Result<bool> has_principal(std::string_view arn);
  // A fresh access key; the secret is given out here and to whoever verifies signatures.
  Result<AccessKey> create_access_key(std::string_view principal_arn, sys::UnixMillis now);
  Result<AccessKey> access_key(std::string_view id);

 private:
  Store(Database database, Secret master) : database_(std::move(database)), master_(std::move(master)) {}
  Status create_schema();
  Status save_settings(const Settings& settings);
  Status load_settings();
  Result<std::string> meta(std::string_view name);
  Status insert_material(std::string_view key_id, std::uint32_t version, sys::UnixMillis now);
  Status require_change(std::string_view what) const;

  std::mutex mutex_;
  Database database_;
  Secret master_;
  Settings settings_;
};

}  // namespace cloister::emulator
