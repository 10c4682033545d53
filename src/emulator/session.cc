#include "emulator/session.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "codec/base64.h"
#include "emulator/access_key.h"
#include "http/json.h"
#include "iam/policy.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

std::string text_of(const json& object, const char* name) {
  const auto* text = http::find_text(object, name);
  return text != nullptr ? std::string(*text) : std::string();
}

Secret serialise(const Session& session) {
  json object{{"role", session.role_arn},
              {"name", session.name},
              {"started", session.started},
              {"expires", session.expires},
              {"secret", as_text(session.secret.view())}};
  if (session.policy) object["policy"] = *session.policy;
  return Secret(as_bytes(http::format_json(object)));
}

Status check(const NewSession& wanted) {
  if (!is_session_name(wanted.name))
    return fail(ErrorKind::invalid, "a session's name is 2 to 64 letters, digits and _=,.@+-");
  if (wanted.lifetime < kShortestSession || wanted.lifetime > kLongestSession) {
    return fail(ErrorKind::invalid, "a session lasts {} to {} seconds", kShortestSession / 1000,
                kLongestSession / 1000);
  }
  if (!wanted.policy) return {};
  if (wanted.policy->size() > kMaxSessionPolicy)
    return fail(ErrorKind::invalid, "a session policy is at most {} characters long", kMaxSessionPolicy);
  TRY(iam::Policy::parse(*wanted.policy, iam::PolicyKind::identity));
  return {};
}

}  // namespace

bool is_session_name(std::string_view name) {
  constexpr std::string_view kMarks = "_=,.@+-";
  constexpr std::size_t kShortest = 2;
  constexpr std::size_t kLongest = 64;
  return name.size() >= kShortest && name.size() <= kLongest &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
           return letter || (c >= '0' && c <= '9') || kMarks.find(c) != std::string_view::npos;
         });
}

std::string Session::arn() const {
  // "arn:aws:iam::111122223333:role/NAME"
  constexpr std::string_view kRole = ":role/";
  auto at = role_arn.find(kRole);
  auto account = role_arn.substr(0, at).substr(role_arn.substr(0, at).rfind(':') + 1);
  return fmt::format("arn:aws:sts::{}:assumed-role/{}/{}", account, role_arn.substr(at + kRole.size()), name);
}

Result<std::pair<Session, Secret>> make_session(const Store& store, const NewSession& wanted,
                                                sys::UnixMillis now) {
  TRY(check(wanted));
  Session session{.access_key_id = random_access_key_id(kTemporary),
                  .secret = random_secret_access_key(),
                  .role_arn = wanted.role_arn,
                  .name = wanted.name,
                  .started = now,
                  .expires = now + wanted.lifetime,
                  .policy = wanted.policy};
  auto token = codec::to_base64(store.seal_session(session.access_key_id, serialise(session)));
  if (token.size() > kMaxSessionToken)
    return fail(ErrorKind::invalid, "the session policy makes a token of more than {} bytes",
                kMaxSessionToken);
  Secret out(as_bytes(token));
  return std::pair{std::move(session), std::move(out)};
}

Result<Session> read_session(const Store& store, std::string_view access_key_id, std::string_view token) {
  if (token.size() > kMaxSessionToken) return fail(ErrorKind::corrupt, "the token is too long");
  auto sealed = codec::from_base64(token);
  if (!sealed) return fail(ErrorKind::corrupt, "the token is not base64");
  auto plain = TRY(store.open_session(access_key_id, *sealed));
  auto object = TRY(http::parse_json(as_text(plain.view())));
  const auto* secret = http::find_text(object, "secret");
  bool whole = secret != nullptr && object.contains("started") && object.contains("expires");
  if (!whole) return fail(ErrorKind::corrupt, "the token lacks a member");
  Session out{.access_key_id = std::string(access_key_id),
              .secret = Secret(as_bytes(*secret)),
              .role_arn = text_of(object, "role"),
              .name = text_of(object, "name"),
              .started = object.at("started").get<sys::UnixMillis>(),
              .expires = object.at("expires").get<sys::UnixMillis>(),
              .policy = {}};
  if (object.contains("policy")) out.policy = text_of(object, "policy");
  return out;
}

}  // namespace cloister::emulator
