#include <fmt/format.h>

#include "doctor/checks.h"

namespace cloister::doctor {

namespace {

constexpr std::int64_t kShortMinutes = 15;  // of credentials: less does not outlast a long start
constexpr std::int64_t kMinute = 60;        // seconds

void check_region(const Facts& facts, Findings& out) {
  if (!facts.region.empty())
    out.fine("region", fmt::format("your region is {}", facts.region));
  else
    out.problem("region", facts.region_error.empty() ? "no AWS region is set" : facts.region_error,
                "export AWS_REGION=eu-central-1, or the region of the package's key");
}

void check_expiry(const Credentials& found, Findings& out) {
  if (!found.seconds_left) {
    out.note("credentials-expiry",
             "the credentials do not expire; where STS gives one, `run` sends a session for one key instead");
    return;
  }
  auto minutes = *found.seconds_left / kMinute;
  if (*found.seconds_left <= 0)
    out.problem("credentials-expiry", "the credentials have expired", "get new ones the way you got these");
  else if (minutes < kShortMinutes)
    out.warn(
        "credentials-expiry",
        fmt::format("the credentials expire in {} minutes, and a job asks KMS after it has started", minutes),
        "get new ones the way you got these");
  else
    out.fine("credentials-expiry", fmt::format("the credentials expire in {} minutes", minutes));
}

void check_credentials(const Facts& facts, Findings& out) {
  if (!facts.credentials) return;
  const auto& found = *facts.credentials;
  if (!found.error.empty()) {
    out.problem("credentials", found.error, found.hint);
    return;
  }
  out.fine("credentials", fmt::format("credentials come from {}", found.source));
  check_expiry(found, out);
}

// Requests without a session token work for whoever makes a web application of this machine fetch a URL.
constexpr const char* kRequireTokens =
    "aws ec2 modify-instance-metadata-options --instance-id ID --http-tokens required";
constexpr const char* kRaiseHops =
    "aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2";

constexpr const char* kTurnOn =
    "aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled --http-tokens "
    "required";

// It stops whoever has no other credentials.
void no_token(const Facts& facts, std::string what, const char* mend, Findings& out) {
  if (facts.credentials && facts.credentials->error.empty())
    out.warn("metadata", std::move(what), mend);
  else
    out.problem("metadata", std::move(what), mend);
}

void check_metadata(const Facts& facts, Findings& out) {
  if (!facts.metadata) return;
  const auto& metadata = *facts.metadata;
  if (!metadata.reached) {
    out.warn("metadata",
             "the instance's metadata service does not answer, so credentials cannot come from its role",
             "aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled");
    return;
  }
  if (metadata.token_status == 0) {
    no_token(facts,
             fmt::format("the metadata service takes the connection and gives no token: its answer has a hop "
                         "limit that ends it{}",
                         facts.machine.container ? " before this container" : ""),
             kRaiseHops, out);
    return;
  }
  if (metadata.token_status != 200) {
    no_token(
        facts,
        fmt::format("the metadata service gives no token (IMDSv2): it answered {}", metadata.token_status),
        kTurnOn, out);
    return;
  }
  out.fine("metadata", "the metadata service gives a token (IMDSv2)");
  if (metadata.without_token)
    out.warn("metadata-v1", "the metadata service answers without a token, too (IMDSv1)", kRequireTokens);
  else
    out.fine("metadata-v1", "the metadata service asks for a token");
  if (metadata.role)
    out.fine("metadata-role", fmt::format("the instance has the role {}", *metadata.role));
  else if (facts.credentials && facts.credentials->error.empty())
    out.note("metadata-role", "the instance has no role; credentials come from elsewhere");
  else
    out.warn("metadata-role", "the instance has no role, so it has no credentials of its own",
             "aws ec2 associate-iam-instance-profile --instance-id ID --iam-instance-profile Name=…");
}

}  // namespace

void check_aws(const Facts& facts, Findings& out) {
  check_region(facts, out);
  check_credentials(facts, out);
  check_metadata(facts, out);
}

}  // namespace cloister::doctor
