// A client of AWS STS (query protocol, version 2011-06-15): short-lived credentials for long-lived ones. On
// the host only. Owner: whoever made it. Not thread-safe.
#pragma once

#include "kms/sources.h"

namespace cloister::kms {

inline constexpr int kStsAttempts = 3;
inline constexpr sys::milliseconds kStsTimeout = sys::seconds(5);  // of one attempt

struct RoleRequest {
  std::string arn;
  std::string session_name;
  std::string external_id;  // may be empty
  unsigned seconds = 0;     // 0: the service's own, an hour
  std::string policy;       // JSON; empty: all that the role may do
};

class Sts {
 public:
  // At AWS_ENDPOINT_URL_STS where it is set, else at the region's own, in the variant that is wanted.
  static Result<Sts> find(const Surroundings& surroundings, std::string region);

  Result<Credentials> assume_role(const Credentials& caller, const RoleRequest& request) const;
  Result<Credentials> assume_role_with_web_identity(std::string_view token, const RoleRequest& request) const;
  // For the keys of a user; a session has none. The session is of both: what the user may and the policy
  // says.
  Result<Credentials> federation_token(const Credentials& caller, std::string_view name,
                                       const SessionScope& scope) const;
  Result<std::string> caller_arn(const Credentials& caller) const;

 private:
  using Parameters = std::vector<std::pair<std::string_view, std::string_view>>;
  Sts(const Surroundings& surroundings, ServiceUrl service, std::string region)
      : dial_(surroundings.dial),
        clock_(&surroundings.clock),
        service_(std::move(service)),
        region_(std::move(region)) {}

  // The body of a 2xx answer. caller: null for what is asked unsigned.
  Result<Secret> call(std::string_view operation, const Parameters& parameters,
                      const Credentials* caller) const;
  Result<http::Response> attempt(const std::string& body, const Credentials* caller) const;
  Result<Credentials> credentials(std::string_view operation, const Parameters& parameters,
                                  const Credentials* caller) const;

  Dial dial_;
  const sys::Clock* clock_;
  ServiceUrl service_;
  std::string region_;
};

}  // namespace cloister::kms
