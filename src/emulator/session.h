// Temporary credentials of roles, as AWS STS makes them: an access key "ASIA…", its secret and a session
// token. The token is the session itself, sealed under the master key: the service keeps no list of sessions,
// and they outlive its restart.
#pragma once

#include "emulator/fault.h"
#include "emulator/store.h"

namespace cloister::emulator {

inline constexpr sys::UnixMillis kShortestSession = 15LL * 60 * 1000;
inline constexpr sys::UnixMillis kLongestSession = 12LL * 60 * 60 * 1000;
inline constexpr sys::UnixMillis kLongestChained = 60LL * 60 * 1000;  // by the session of another role
inline constexpr sys::UnixMillis kDefaultSession = 60LL * 60 * 1000;
inline constexpr std::size_t kMaxSessionPolicy = 2048;  // characters, as STS
inline constexpr std::size_t kMaxSessionToken = 6144;   // bytes of base64, within an 8 KiB header

struct Session {
  std::string access_key_id;
  Secret secret;
  std::string role_arn;
  std::string name;
  sys::UnixMillis started = 0;
  sys::UnixMillis expires = 0;
  std::optional<std::string> policy;  // JSON: the session may do what this and the role's policies allow

  // "arn:aws:sts::111122223333:assumed-role/ROLE/NAME".
  std::string arn() const;
};

struct NewSession {
  std::string role_arn;
  std::string name;
  sys::UnixMillis lifetime = kDefaultSession;
  std::optional<std::string> policy;
};

// 2 to 64 letters, digits and _=,.@+-.
bool is_session_name(std::string_view name);

// A session and its token. invalid: a malformed name, lifetime or policy. Whether the role exists and who may
// assume it is the caller's business.
Result<std::pair<Session, Secret>> make_session(const Store& store, const NewSession& wanted,
                                                sys::UnixMillis now);
// Expired or not. corrupt: no token of this service's, or of another access key.
Result<Session> read_session(const Store& store, std::string_view access_key_id, std::string_view token);

}  // namespace cloister::emulator
