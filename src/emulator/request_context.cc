#include "emulator/request_context.h"

#include <ctime>

#include "emulator/access_key.h"

namespace cloister::emulator {

namespace {

bool is_user(const iam::Caller& caller) {
  return caller.arn == caller.principal_arn;
}
std::string last_part(const std::string& arn) {
  return arn.substr(arn.rfind('/') + 1);
}

// A listener on [::] sees IPv4 clients as ::ffff:192.0.2.1; policies name 192.0.2.1.
std::string plain_address(const std::string& address) {
  constexpr std::string_view kMapped = "::ffff:";
  bool mapped = address.starts_with(kMapped) && address.find('.') != std::string::npos;
  return mapped ? address.substr(kMapped.size()) : address;
}

}  // namespace

std::string user_id(const iam::Caller& caller) {
  auto id = unique_id(caller.principal_arn);
  return is_user(caller) ? id : fmt::format("{}:{}", id, last_part(caller.arn));
}

std::string iso_time(sys::UnixMillis at) {
  auto seconds = static_cast<std::time_t>(at / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[sizeof "2026-01-31T12:00:00Z" + 8];
  auto size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, size};
}

iam::RequestContext common_context(const iam::Caller& caller, const Peer& peer, const http::Request& request,
                                   const Settings& settings, sys::UnixMillis now) {
  iam::RequestContext out;
  out.set("aws:PrincipalArn", caller.principal_arn);
  out.set("aws:PrincipalAccount", caller.account);
  out.set("aws:PrincipalType", is_user(caller) ? "User" : "AssumedRole");
  out.set("aws:PrincipalIsAWSService", "false");
  out.set("aws:ViaAWSService", "false");
  out.set("aws:userid", user_id(caller));
  if (is_user(caller)) out.set("aws:username", last_part(caller.arn));
  if (caller.session_started) {
    out.set("aws:TokenIssueTime", iso_time(*caller.session_started));
    // Absent with long-lived keys, as AWS has it: BoolIfExists is made for that.
    out.set("aws:MultiFactorAuthPresent", "false");
  }
  out.set("aws:CurrentTime", iso_time(now));
  out.set("aws:EpochTime", std::to_string(now / 1000));
  out.set("aws:SecureTransport", peer.secure ? "true" : "false");
  out.set("aws:RequestedRegion", settings.region);
  out.set("kms:CallerAccount", caller.account);
  if (!peer.address.empty()) out.set("aws:SourceIp", plain_address(peer.address));
  if (auto agent = request.fields.get("User-Agent"); !agent.empty())
    out.set("aws:UserAgent", std::string(agent));
  return out;
}

}  // namespace cloister::emulator
