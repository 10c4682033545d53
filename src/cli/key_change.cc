#include "cli/key_change.h"

#include "host/known_signers.h"
#include "kms/arn.h"

namespace cloister::cli {

namespace {

constexpr sys::milliseconds kKmsTimeout = sys::seconds(60);

std::unexpected<Error> changed_meanwhile() {
  Error error(ErrorKind::unavailable, "the key's policy was changed by somebody else meanwhile");
  return std::unexpected(std::move(error).with_hint("look at it with `cloister key show`, then try again"));
}

Result<std::vector<std::string>> fingerprints(const Context& context, const std::vector<std::string>& given) {
  std::vector<std::string> out;
  auto known = TRY(host::KnownSigners::load(context.paths.known_signers()));
  out.reserve(given.size());
  for (const auto& text : given) out.push_back(to_hex(TRY(known.resolve(text))));
  return out;
}

}  // namespace

sys::Deadline soon() {
  return sys::Deadline::after(kKmsTimeout);
}

Result<Opened> open_key(const Context& context, const std::string& name) {
  auto arn = kms::KeyArn::parse(name);
  auto region = arn ? arn->region : TRY(kms::find_region(context.environment));
  auto client = TRY(context.kms_client(region));
  auto key = TRY(client.describe_key(name, soon()));
  auto policy = TRY(client.get_key_policy(key.arn, soon()));
  return Opened{std::move(client), std::move(key), std::move(policy)};
}

Result<std::string> changed_policy(const Opened& opened, const Change& change) {
  auto arn = TRY(kms::KeyArn::parse(opened.key.arn));
  auto access = TRY(host::read_access(opened.policy, arn.account));
  TRY(change(access));
  return host::write_access(opened.policy, access, arn.account, arn.partition);
}

Status change_policy(Opened& opened, const Change& change) {
  auto wanted = TRY(changed_policy(opened, change));
  if (TRY(opened.client.get_key_policy(opened.key.arn, soon())) != opened.policy) return changed_meanwhile();
  kms::PutKeyPolicyRequest request;
  request.key_id = opened.key.arn;
  request.policy = wanted;
  TRY(opened.client.put_key_policy(request, soon()));
  // The old one may be read for some seconds more: KMS is eventually consistent.
  auto written = TRY(opened.client.get_key_policy(opened.key.arn, soon()));
  auto account = TRY(kms::KeyArn::parse(opened.key.arn)).account;
  bool ours = TRY(host::read_access(written, account)) == TRY(host::read_access(wanted, account));
  return ours || written == opened.policy ? Status() : changed_meanwhile();
}

void add_grant_terms(Command& command, GrantTerms& terms) {
  command
      .list("--release", terms.releases,
            "only this release of the package; named again later, it joins the others")
      .list("--package", terms.names, "only packages of this name")
      .list("--signer", terms.signers, "only packages of this signer (a known name or a fingerprint)")
      .list("--principal", terms.principals, "only this IAM principal (ARN)")
      .text("--until", terms.until, "not from this time on: 2027-01-31, or 2027-01-31T12:00:00Z")
      .flag("--replace", terms.replace, "exactly what is named here; else it joins what was allowed before");
}

Result<Change> change_to_allow(const Context& context, const GrantTerms& terms,
                               const std::vector<std::string>& pcr0s) {
  host::ImageGrant grant{.principals = terms.principals,
                         .releases = terms.releases,
                         .names = terms.names,
                         .signers = TRY(fingerprints(context, terms.signers))};
  if (!terms.until.empty()) grant.until = TRY(host::policy_time(terms.until).context("--until"));
  std::vector<host::ImageGrant> grants;
  for (const auto& pcr0 : pcr0s) {
    grant.pcr0 = pcr0;
    grants.push_back(grant);
  }
  return Change([grants, replace = terms.replace](host::KeyAccess& access) -> Status {
    for (const auto& one : grants) (replace ? host::replace_image : host::allow_image)(access, one);
    return {};
  });
}

}  // namespace cloister::cli
