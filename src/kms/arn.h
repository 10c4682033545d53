// KeyArn: the full name of one KMS key. Packages and policies name keys by nothing else: an alias can be
// pointed at another key by whoever owns the account.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::kms {

inline constexpr std::size_t kMaxRegionBytes = 32;

// Letters, digits and inner hyphens: a region becomes a part of a host name.
bool is_region(std::string_view text);

struct KeyArn {
  std::string partition;  // of partitions(): aws, aws-cn, aws-us-gov…
  std::string region;
  std::string account;  // 12 digits
  std::string key_id;   // UUID or mrk- and 32 hexadecimal digits, lower case

  // arn:PARTITION:kms:REGION:ACCOUNT:key/ID and nothing else: one spelling for each key. invalid, with a hint
  // for aliases and bare ids.
  static Result<KeyArn> parse(std::string_view text);
  std::string to_string() const;
  bool operator==(const KeyArn&) const = default;
};

}  // namespace cloister::kms
