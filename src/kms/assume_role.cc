#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "kms/profile.h"
#include "kms/sts.h"
#include "sys/file.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxRoles = 8;          // in a row
constexpr std::size_t kMaxWebToken = 20'000;  // bytes, as STS has it
constexpr unsigned kMinSeconds = 900;         // of a session, as STS has it
constexpr unsigned kMaxSeconds = 12 * 3600;

struct RoleSettings {
  std::string role;
  std::string source_profile;
  std::string credential_source;
  std::string external_id;
  std::string session_name;
  std::string duration;
  std::string mfa;
  std::string token_file;
  bool keys = false;

  // The first file wins.
  void take(std::string_view key, std::string_view value) {
    const std::pair<std::string_view, std::string*> known[] = {{"role_arn", &role},
                                                               {"source_profile", &source_profile},
                                                               {"credential_source", &credential_source},
                                                               {"external_id", &external_id},
                                                               {"role_session_name", &session_name},
                                                               {"duration_seconds", &duration},
                                                               {"mfa_serial", &mfa},
                                                               {"web_identity_token_file", &token_file}};
    for (auto [name, member] : known) {
      if (key == name && member->empty()) *member = value;
    }
    keys = keys || key == "aws_access_key_id" || key == "aws_secret_access_key";
  }
};

Result<RoleSettings> read_settings(const SharedFiles& files, const std::string& profile) {
  RoleSettings out;
  TRY(files.visit(profile, [&](auto key, auto value) { out.take(key, value); }));
  return out;
}

// The source of the shared files comes later, and says what is wrong with them.
std::unexpected<Error> unreadable() {
  return fail(ErrorKind::not_found, "the shared AWS files cannot be read");
}

Result<unsigned> parse_duration(std::string_view text) {
  if (text.empty()) return 0U;
  unsigned value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value < kMinSeconds || value > kMaxSeconds)
    return fail(ErrorKind::invalid, "duration_seconds is not a number from {} to {}", kMinSeconds,
                kMaxSeconds);
  return value;
}

// last: of the roles in a row. Its session is the one that is used, and is narrowed if that is wanted.
Result<RoleRequest> make_request(const RoleSettings& settings, const Surroundings& around, bool last) {
  RoleRequest out{
      .arn = settings.role, .session_name = settings.session_name, .external_id = settings.external_id};
  if (out.session_name.empty()) out.session_name = fmt::format("cloister-{}", around.clock.now());
  out.seconds = TRY(parse_duration(settings.duration));
  if (last && around.scope != nullptr) {
    out.policy = around.scope->policy;
    out.seconds = around.scope->seconds;
  }
  return out;
}

class WebIdentitySource final : public CredentialSource {
 public:
  WebIdentitySource(const Surroundings& surroundings, std::string profile, bool last)
      : around_(surroundings), files_(surroundings.environment), asked_(std::move(profile)), last_(last) {}
  std::string name() const override { return "a web identity"; }

  Result<Credentials> load() override {
    auto read = read_settings(files_, asked_.empty() ? files_.profile() : asked_);
    if (!read) return unreadable();
    auto settings = *std::move(read);
    if (asked_.empty()) prefer_environment(settings);
    if (settings.token_file.empty()) return fail(ErrorKind::not_found, "there is no token");
    if (settings.role.empty())
      return fail(ErrorKind::invalid, "a token, and no role: AWS_ROLE_ARN, or role_arn");
    auto path = files_.expand(settings.token_file);
    Secret file(TRY(sys::read_file(path, kMaxWebToken).context("the token")));
    auto token = as_text(file.view());
    while (token.ends_with('\n') || token.ends_with('\r')) token.remove_suffix(1);
    auto sts = TRY(Sts::find(around_, TRY(find_region(around_.environment))));
    auto out = TRY(sts.assume_role_with_web_identity(token, TRY(make_request(settings, around_, last_))));
    if (last_ && around_.scope != nullptr) around_.scope->applied = true;
    return out;
  }

 private:
  void prefer_environment(RoleSettings& settings) const {
    const std::pair<std::string_view, std::string*> variables[] = {
        {"AWS_WEB_IDENTITY_TOKEN_FILE", &settings.token_file},
        {"AWS_ROLE_ARN", &settings.role},
        {"AWS_ROLE_SESSION_NAME", &settings.session_name}};
    for (auto [name, member] : variables) {
      if (auto value = around_.environment(name).value_or(""); !value.empty()) *member = value;
    }
  }
  Surroundings around_;
  SharedFiles files_;
  std::string asked_;
  bool last_;
};

class RoleSource final : public CredentialSource {
 public:
  explicit RoleSource(const Surroundings& surroundings)
      : around_(surroundings), files_(surroundings.environment) {}
  std::string name() const override { return "the profile's role"; }

  Result<Credentials> load() override {
    visited_.clear();
    auto profile = files_.profile();
    auto read = read_settings(files_, profile);
    if (!read) return unreadable();
    auto settings = *std::move(read);
    if (!is_role(settings)) return fail(ErrorKind::not_found, "it has none");
    auto out = TRY(assume(profile, settings));
    if (around_.scope != nullptr) around_.scope->applied = true;
    return out;
  }

 private:
  static bool is_role(const RoleSettings& settings) {
    return !settings.role.empty() && settings.token_file.empty();
  }

  Result<Credentials> assume(const std::string& profile, const RoleSettings& settings) {
    auto shown = escape_controls(profile);
    if (visited_.size() == kMaxRoles)
      return fail(ErrorKind::invalid, "more than {} roles in a row", kMaxRoles);
    bool last = visited_.empty();
    visited_.push_back(profile);
    if (!settings.mfa.empty()) {
      Error error(ErrorKind::invalid,
                  fmt::format("profile '{}' wants a code (mfa_serial), which is not supported", shown));
      return std::unexpected(std::move(error).with_hint(
          fmt::format("eval \"$(aws configure export-credentials --profile {} --format env)\"", shown)));
    }
    if (settings.source_profile.empty() == settings.credential_source.empty()) {
      return fail(ErrorKind::invalid,
                  "profile '{}' has a role_arn, and {} source_profile and credential_source", shown,
                  settings.source_profile.empty() ? "neither of" : "both");
    }
    auto caller = TRY(settings.source_profile.empty() ? from_named_source(settings.credential_source)
                                                      : from_profile(settings.source_profile, profile));
    auto sts = TRY(Sts::find(around_, TRY(find_region(around_.environment))));
    return sts.assume_role(caller, TRY(make_request(settings, around_, last)))
        .context(fmt::format("profile '{}'", shown));
  }

  Result<Credentials> from_named_source(const std::string& source) const {
    auto plain = around_;
    plain.scope = nullptr;
    CredentialChain chain(&around_.clock);
    if (source == "Environment")
      chain.add(from_environment(around_.environment));
    else if (source == "Ec2InstanceMetadata")
      chain.add(from_instance(plain));
    else if (source == "EcsContainer")
      chain.add(from_container(plain));
    else
      return fail(ErrorKind::invalid,
                  "credential_source is Environment, Ec2InstanceMetadata or EcsContainer, not '{}'",
                  escape_controls(source));
    return chain.load();
  }

  // A profile may name itself, if it has keys of its own.
  Result<Credentials> from_profile(const std::string& name, const std::string& parent) {
    auto shown = escape_controls(name);
    auto settings = TRY(read_settings(files_, name));
    bool seen = std::ranges::find(visited_, name) != visited_.end();
    if (seen && (name != parent || !settings.keys))
      return fail(ErrorKind::invalid, "source_profile '{}' leads back to itself", shown);
    if (is_role(settings) && !settings.keys) return assume(name, settings);
    CredentialChain chain(&around_.clock);
    chain.add(std::make_unique<WebIdentitySource>(around_, name, false));
    chain.add(from_shared_files(around_.environment, name));
    chain.add(from_process(around_, name));
    auto loaded = chain.load();
    if (loaded || loaded.error().kind() != ErrorKind::not_found) return loaded;
    return fail(ErrorKind::invalid, "source_profile '{}' has no credentials", shown);
  }

  Surroundings around_;
  SharedFiles files_;
  std::vector<std::string> visited_;  // profiles on the way, the first one the person's
};

}  // namespace

std::unique_ptr<CredentialSource> from_roles(const Surroundings& surroundings) {
  return std::make_unique<RoleSource>(surroundings);
}

std::unique_ptr<CredentialSource> from_web_identity(const Surroundings& surroundings) {
  return std::make_unique<WebIdentitySource>(surroundings, "", true);
}

}  // namespace cloister::kms
