#include "cli/job_credentials.h"

#include "base/log.h"
#include "host/mounts.h"
#include "kms/scope.h"
#include "package/start.h"
#include "sys/dir.h"

namespace cloister::cli {

namespace {

constexpr const char* kBetterHint =
    "--sts-role ARN names a role that these credentials may assume and that may use the key; --credentials "
    "as-is "
    "goes without";

// Read through the mount, so that it is what the enclave will see. A header that lies names another key: the
// session is then good for nothing.
Result<kms::KeyArn> key_of(const Context& context, const std::string& enclave, const std::string& package) {
  auto mounts = host::list_mounts(context.paths, enclave);
  if (mounts.empty()) return fail(ErrorKind::not_found, "the folder with the package is not mounted here");
  auto folder = TRY(sys::Dir::open(mounts.front().directory));
  auto file = TRY(folder.open_regular(package).context(escape_controls(package)));
  auto start = TRY(package::read_start(file.get()).context(escape_controls(package)));
  TRY(start.header.verify_signature());
  return kms::KeyArn::parse(start.header.key_arn);
}

void warn(const Error& why) {
  fmt::print(stderr,
             "cloister: the enclave gets your credentials as they are, not a session for this key alone: {} "
             "(better: "
             "--sts-role ARN)\n",
             why.message());
}

Result<kms::Credentials> load(const kms::Surroundings& surroundings) {
  auto chain = kms::default_chain(surroundings);
  return chain.load();
}

// Whether there is an STS that gives sessions for the KMS in use: the embedded one comes without.
bool has_sts(const Context& context) {
  return !context.embedded_kms() || !context.environment("AWS_ENDPOINT_URL_STS").value_or("").empty();
}

Result<kms::Credentials> exchanged(const Context& context, const kms::Surroundings& surroundings,
                                   const kms::Credentials& found, const kms::SessionScope& scope,
                                   const CredentialWish& wish, const std::string& region_of_key) {
  auto region = kms::find_region(context.environment).value_or(region_of_key);
  auto sts = TRY(kms::Sts::find(surroundings, region));
  return kms::narrow(sts, found, scope, wish.role, context.clock);
}

Error cannot_scope(Error why) {
  return std::move(why).context("no session for this key alone").with_hint(kBetterHint);
}

}  // namespace

Status CredentialWish::check() const {
  if (!mode.empty() && mode != "scoped" && mode != "as-is")
    return fail(ErrorKind::invalid, "--credentials is scoped or as-is, not '{}'", escape_controls(mode));
  if (mode == "as-is" && !role.empty())
    return fail(ErrorKind::invalid, "--sts-role and --credentials as-is exclude each other");
  return {};
}

Result<kms::Credentials> job_credentials(const Context& context, const CredentialWish& wish,
                                         const std::string& enclave, const std::string& package) {
  auto surroundings = context.surroundings();
  bool must = wish.mode == "scoped";
  bool wanted = must || !wish.role.empty();
  if (wish.mode == "as-is" || (!wanted && !has_sts(context))) return load(surroundings);
  if (!has_sts(context)) {
    return std::unexpected(cannot_scope(
        Error(ErrorKind::invalid,
              "AWS_ENDPOINT_URL_KMS is set and AWS_ENDPOINT_URL_STS is not, so there is no STS")));
  }
  auto key = key_of(context, enclave, package);
  if (!key && must) return std::unexpected(cannot_scope(std::move(key).error()));
  if (!key) {
    auto found = TRY(load(surroundings));
    warn(key.error());
    return found;
  }
  auto scope = kms::decrypt_only(*key);
  if (wish.role.empty()) surroundings.scope = &scope;
  auto found = TRY(load(surroundings));
  if (scope.applied) return found;
  auto session = exchanged(context, surroundings, found, scope, wish, key->region);
  if (session) return session;
  if (must) return std::unexpected(cannot_scope(std::move(session).error()));
  warn(session.error());
  return found;
}

}  // namespace cloister::cli
