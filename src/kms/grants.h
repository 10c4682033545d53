// Grants: permissions beside the key policy, which only ever allow ("Grants in AWS KMS" of the KMS developer
// guide, ListGrants of the API reference).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kms/messages.h"

namespace cloister::kms {

inline constexpr unsigned kGrantsPerPage = 25;  // a page of the largest grants stays below kMaxAnswerBytes
inline constexpr int kMaxGrantPages = 200;

struct Grant {
  std::string id;
  std::string name;
  std::string grantee;                  // ARN of a principal, or the name of a service
  std::vector<std::string> operations;  // Decrypt, ReEncryptFrom, CreateGrant…: without "kms:"
  bool constrained = false;             // holds for some encryption contexts only
};

// Errors: corrupt.
struct ListGrantsResponse {
  std::vector<Grant> grants;
  std::string next_marker;  // empty: complete
  JsonString encode() const;
  static Result<ListGrantsResponse> parse(std::string_view body);
};

}  // namespace cloister::kms
