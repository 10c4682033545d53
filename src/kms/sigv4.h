// AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request"): signing, and the same
// canonicalisation for a server that verifies.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "kms/credentials.h"
#include "sys/clock.h"

namespace cloister::kms {

inline constexpr std::string_view kSigningAlgorithm = "AWS4-HMAC-SHA256";

struct SigningScope {
  std::string date;  // YYYYMMDD
  std::string region;
  std::string service;
  std::string to_string() const;  // date/region/service/aws4_request
};

// signed_headers: lower case, sorted. The payload's hash is that of request.body. A session token is in it:
// for the caller to wipe.
std::string canonical_request(const http::Request& request, const std::vector<std::string>& signed_headers);

// Sets X-Amz-Date, X-Amz-Security-Token (with temporary credentials) and Authorization. Signs Host, which
// must be set, Content-Type and every X-Amz-* field. invalid: no Host field.
Status sign(http::Request& request, const Credentials& credentials, std::string_view region,
            std::string_view service, sys::UnixMillis now);

struct ParsedAuthorization {
  std::string access_key_id;
  SigningScope scope;
  std::vector<std::string> signed_headers;  // lower case, sorted, no duplicates, with host
  std::string signature;                    // 64 lower-case hexadecimal digits
};
// The value of an Authorization field. invalid: anything that sign() could not have made.
Result<ParsedAuthorization> parse_authorization(std::string_view value);

// The signature this request must carry, in hexadecimal; compare with equal_constant_time(). invalid: a
// signed field is absent, X-Amz-Date is absent, malformed or of another day than the scope, or an X-Amz-*
// field is not signed. How old the date may be is the caller's business.
Result<std::string> expected_signature(const http::Request& request, const ParsedAuthorization& parsed,
                                       ByteView secret_access_key);

}  // namespace cloister::kms
