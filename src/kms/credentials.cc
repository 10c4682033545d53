#include "kms/credentials.h"

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "kms/arn.h"
#include "kms/profile.h"
#include "kms/times.h"

namespace cloister::kms {

namespace {

// The value as a Secret, without leaving the text behind.
std::optional<Secret> secret_from(std::optional<std::string> text) {
  if (!text || text->empty()) return std::nullopt;
  Secret out(as_bytes(*text));
  wipe(*text);
  return out;
}

class EnvironmentSource final : public CredentialSource {
 public:
  explicit EnvironmentSource(Environment environment) : environment_(std::move(environment)) {}
  std::string name() const override { return "the environment"; }

  Result<Credentials> load() override {
    auto id = environment_("AWS_ACCESS_KEY_ID").value_or("");
    auto secret = secret_from(environment_("AWS_SECRET_ACCESS_KEY"));
    if (id.empty() && !secret) return fail(ErrorKind::not_found, "AWS_ACCESS_KEY_ID is not set");
    if (id.empty() || !secret) {
      Error error(ErrorKind::invalid, "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set");
      return std::unexpected(std::move(error).with_hint("set both, or neither to use the shared AWS files"));
    }
    Credentials out{std::move(id), *std::move(secret), secret_from(environment_("AWS_SESSION_TOKEN"))};
    if (auto until = environment_("AWS_CREDENTIAL_EXPIRATION").value_or(""); !until.empty())
      out.expires = TRY(parse_iso_time(until).context("AWS_CREDENTIAL_EXPIRATION"));
    return out;
  }

 private:
  Environment environment_;
};

// The settings of a profile that credentials are made of.
struct ProfileKeys {
  std::string id;
  Secret secret;
  Secret token;
  bool sign_on = false;

  // The first file wins.
  void take(std::string_view key, std::string_view value) {
    if (key == "aws_access_key_id" && id.empty()) id = value;
    if (key == "aws_secret_access_key" && secret.empty()) secret = Secret(as_bytes(value));
    if (key == "aws_session_token" && token.empty()) token = Secret(as_bytes(value));
    if (key == "sso_session" || key == "sso_start_url") sign_on = true;
  }
};

// A sign-on has a browser and a cache of tokens of its own: the AWS CLI's business.
std::unexpected<Error> needs_sign_on(std::string_view profile) {
  Error error(ErrorKind::invalid,
              fmt::format("profile '{}' signs on (sso_session), which is not supported", profile));
  return std::unexpected(std::move(error).with_hint(
      fmt::format("eval \"$(aws configure export-credentials --profile {} --format env)\"", profile)));
}

class SharedFileSource final : public CredentialSource {
 public:
  SharedFileSource(Environment environment, std::string profile)
      : files_(std::move(environment)), asked_(std::move(profile)) {}
  std::string name() const override { return "the shared AWS files"; }

  Result<Credentials> load() override {
    auto section = asked_.empty() ? files_.profile() : asked_;
    ProfileKeys found;
    auto there = TRY(files_.visit(section, [&](auto key, auto value) { found.take(key, value); }));
    auto profile = escape_controls(section);
    if (!there && (!asked_.empty() || files_.profile_was_named()))
      return fail(ErrorKind::invalid, "profile '{}' is not in the shared AWS files", profile);
    if (found.id.empty() && found.secret.empty()) {
      if (found.sign_on) return needs_sign_on(profile);
      return fail(ErrorKind::not_found, "profile '{}' has no credentials", profile);
    }
    if (found.id.empty() || found.secret.empty())
      return fail(ErrorKind::invalid, "profile '{}' has only half of a key", profile);
    Credentials out{std::move(found.id), std::move(found.secret), std::nullopt};
    if (!found.token.empty()) out.session_token = std::move(found.token);
    return out;
  }

 private:
  SharedFiles files_;
  std::string asked_;
};

Status refuse_expired(const Credentials& credentials, const sys::Clock& clock) {
  if (!credentials.expires || *credentials.expires > clock.now()) return {};
  Error error(ErrorKind::denied, fmt::format("they expired at {}", format_iso_time(*credentials.expires)));
  return std::unexpected(std::move(error).with_hint(
      "get new ones the way you got these; if the time is in the future, set this machine's clock"));
}

}  // namespace

Credentials Credentials::copy() const {
  Credentials out{access_key_id, secret_access_key.copy(), std::nullopt, expires};
  if (session_token) out.session_token = session_token->copy();
  return out;
}

Environment process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

bool is_true(const Environment& environment, std::string_view name) {
  auto value = environment(name).value_or("");
  std::ranges::transform(value, value.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return value == "true";
}

std::unique_ptr<CredentialSource> from_environment(Environment environment) {
  return std::make_unique<EnvironmentSource>(std::move(environment));
}

std::unique_ptr<CredentialSource> from_shared_files(Environment environment, std::string profile) {
  return std::make_unique<SharedFileSource>(std::move(environment), std::move(profile));
}

std::string CredentialChain::name() const {
  std::string out;
  for (const auto& source : sources_) out += (out.empty() ? "" : ", ") + source->name();
  return out;
}

Result<Credentials> CredentialChain::load() {
  found_.clear();
  for (const auto& source : sources_) {
    auto loaded = source->load();
    if (!loaded && loaded.error().kind() == ErrorKind::not_found) continue;
    found_ = source->name();
    auto what = "AWS credentials from " + found_;
    if (loaded && clock_ != nullptr) TRY(refuse_expired(*loaded, *clock_).context(what));
    return std::move(loaded).context(what);
  }
  Error error(ErrorKind::not_found, fmt::format("no AWS credentials in {}", name()));
  return std::unexpected(
      std::move(error).with_hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"));
}

Result<std::string> find_region(const Environment& environment) {
  std::string region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (region.empty()) region = environment(name).value_or("");
  }
  if (region.empty()) {
    TRY(SharedFiles(environment).visit([&](auto key, auto value) {
      if (key == "region" && region.empty()) region = value;
    }));
  }
  if (region.empty()) {
    Error error(ErrorKind::not_found, "no AWS region is set");
    return std::unexpected(std::move(error).with_hint("set AWS_REGION, for example AWS_REGION=eu-central-1"));
  }
  if (!is_region(region))
    return fail(ErrorKind::invalid, "'{}' is not an AWS region", escape_controls(region));
  return region;
}

}  // namespace cloister::kms
