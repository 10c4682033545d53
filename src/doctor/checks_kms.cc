#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "doctor/checks.h"
#include "host/allow_list.h"

namespace cloister::doctor {

namespace {

constexpr std::int64_t kSkewWarned = 60;    // seconds
constexpr std::int64_t kSkewRefused = 300;  // seconds: AWS takes no signature that is older (SigV4), and
                                            // clients no attestation document

std::string duration(std::int64_t seconds) {
  return seconds < 120 ? fmt::format("{} s", seconds) : fmt::format("{} minutes", seconds / 60);
}

void check_clock(const Kms& kms, Findings& out) {
  if (!kms.ahead_seconds) return;
  auto off = std::abs(*kms.ahead_seconds);
  auto what = fmt::format("this machine's clock is {} {} that of KMS", duration(off),
                          *kms.ahead_seconds > 0 ? "ahead of" : "behind");
  constexpr const char* kMend = "sudo timedatectl set-ntp true (on EC2: chrony with server 169.254.169.123)";
  if (off > kSkewRefused)
    out.problem("clock", what + ": signatures and attestation documents are refused", kMend);
  else if (off > kSkewWarned)
    out.warn("clock", what + ", and five minutes are too much", kMend);
  else
    out.fine("clock", "this machine's clock agrees with that of KMS");
}

// "User: arn:aws:sts::111122223333:assumed-role/…": whose account the caller is of.
bool other_account(const Kms& kms) {
  constexpr std::string_view kBefore = "User: arn:";
  constexpr int kAccountAt = 3;  // colons before it, in what follows
  auto at = kms.dry_run_message.find(kBefore);
  if (at == std::string::npos) return false;
  auto rest = std::string_view(kms.dry_run_message).substr(at + kBefore.size());
  for (int i = 0; i < kAccountAt; ++i) rest.remove_prefix(std::min(rest.find(':'), rest.size() - 1) + 1);
  return !kms.key_account.empty() && rest.substr(0, rest.find(':')) != kms.key_account;
}

constexpr const char* kAskAdministrator =
    "your administrator adds kms:Decrypt on that key to your role: docs/credentials.md";

// The host alone is to be refused, by the key's policy: that is what keeps the owner's secrets. So only the
// reason tells something. The sentences are AWS's ("Troubleshoot access denied error messages", IAM User
// Guide). Within an account the key's policy alone can allow, once there is an enclave.
void check_denied(const Kms& kms, Findings& out) {
  auto says = [&](std::string_view text) { return kms.dry_run_message.find(text) != std::string::npos; };
  bool denied = says("explicit deny") && !says("in a resource-based policy");
  bool missing = says("no identity-based policy allows");
  if (denied || (missing && other_account(kms)))
    out.problem("kms-right", "your IAM rights do not let you ask for the package's key, enclave or not",
                kAskAdministrator);
  else if (missing)
    out.note("kms-right",
             "your IAM rights do not name the package's key: it is enough if its policy names your role",
             kAskAdministrator);
  else
    out.fine("kms-right", "the key's policy refuses this machine without an enclave, as it should");
}

void check_right(const Kms& kms, Findings& out) {
  if (kms.dry_run.empty()) return;
  if (kms.dry_run == "DryRunOperationException")
    out.warn("kms-right",
             "KMS would let you decrypt the package's key here, without an enclave: its policy asks for no "
             "attestation",
             "tell its owner: cloister key show -k KEY says what lets whom decrypt");
  else if (kms.dry_run == "AccessDeniedException")
    check_denied(kms, out);
  else
    out.problem("kms-right",
                fmt::format("KMS does not take the package's key: {}{}{}", kms.dry_run,
                            kms.dry_run_message.empty() ? "" : ": ", kms.dry_run_message),
                "ask its owner: the key may be disabled, deleted, or in another region");
}

void check_service(const Kms& kms, Findings& out) {
  if (kms.embedded && !kms.authority_set)
    out.problem("kms-authority",
                "AWS_ENDPOINT_URL_KMS is set, and AWS_CA_BUNDLE is not: nothing vouches for that KMS",
                "source the user.env that `cloister kms init` wrote");
  else if (kms.embedded)
    out.fine("kms-authority", "AWS_CA_BUNDLE is set");
  if (!kms.error.empty()) {
    out.problem("kms", fmt::format("{}: {}", kms.host, kms.error),
                kms.embedded ? "is it running? cloister kms serve"
                             : "let this machine connect to it: route, security group, VPC endpoint");
    return;
  }
  out.fine("kms", fmt::format("{} answers", kms.host));
  check_clock(kms, out);
  check_right(kms, out);
}

bool allowed(const std::vector<std::string>& rules, const std::string& name) {
  auto wanted = host::parse_destination(name);
  return wanted && std::ranges::any_of(rules, [&](const std::string& text) {
           auto rule = host::Route::parse(text);
           return rule && rule->matches(wanted->host, wanted->port);
         });
}

void check_proxy(const Facts& facts, Findings& out) {
  if (!facts.running || !facts.running->alive) return;
  const auto& name = facts.asked.name;
  const auto& running = *facts.running;
  if (!running.proxy) {
    out.problem("proxy", fmt::format("enclave '{}' has no proxy, so it cannot ask KMS for keys", name),
                fmt::format("cloister proxy -s kms --name {}", name));
    return;
  }
  if (facts.kms_names.empty()) return;
  bool reaches = std::ranges::any_of(facts.kms_names,
                                     [&](const auto& kms) { return allowed(running.destinations, kms); });
  if (reaches)
    out.fine("proxy", fmt::format("the proxy lets enclave '{}' reach KMS", name));
  else
    out.problem(
        "proxy",
        fmt::format("the proxy of enclave '{}' does not let it reach {}", name, facts.kms_names.front()),
        fmt::format("cloister proxy --stop --name {0}; cloister proxy -s kms --name {0}", name));
}

}  // namespace

void check_kms(const Facts& facts, Findings& out) {
  if (facts.kms) check_service(*facts.kms, out);
  check_proxy(facts, out);
}

}  // namespace cloister::doctor
