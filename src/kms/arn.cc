#include "kms/arn.h"

#include <algorithm>

#include "base/log.h"
#include "kms/partition.h"

namespace cloister::kms {

namespace {

constexpr std::size_t kMaxArnBytes = 256;
constexpr std::size_t kAccountDigits = 12;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? text[i] != '-' : !is_lower_hex(text[i])) return false;
  }
  return true;
}

bool is_key_id(std::string_view text) {
  constexpr std::string_view kMultiRegion = "mrk-";
  if (!text.starts_with(kMultiRegion)) return is_uuid(text);
  text.remove_prefix(kMultiRegion.size());
  return text.size() == 32 && std::ranges::all_of(text, is_lower_hex);
}

// Up to the next colon; the rest of the text stays.
std::string_view take_part(std::string_view& text) {
  auto part = text.substr(0, text.find(':'));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  Error error(ErrorKind::invalid, fmt::format("'{}' is not a full key ARN: {}",
                                              escape_controls(text.substr(0, kMaxArnBytes)), why));
  return std::unexpected(std::move(error).with_hint(
      "write arn:aws:kms:REGION:ACCOUNT:key/ID, as `aws kms describe-key` prints it"));
}

}  // namespace

bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRegionBytes && text.front() != '-' && text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-'; });
}

Result<KeyArn> KeyArn::parse(std::string_view text) {
  if (text.starts_with("alias/")) return refuse(text, "it is an alias");
  auto rest = text.substr(0, kMaxArnBytes + 1);
  if (rest.size() > kMaxArnBytes || take_part(rest) != "arn")
    return refuse(text, "it does not begin with arn:");
  KeyArn out;
  out.partition = take_part(rest);
  if (find_partition(out.partition) == nullptr) return refuse(text, "unknown partition");
  if (take_part(rest) != "kms") return refuse(text, "it does not name a KMS key");
  out.region = take_part(rest);
  if (!is_region(out.region)) return refuse(text, "malformed region");
  out.account = take_part(rest);
  if (out.account.size() != kAccountDigits || !std::ranges::all_of(out.account, is_digit)) {
    return refuse(text, "an account has 12 digits");
  }
  if (rest.starts_with("alias/")) return refuse(text, "it names an alias");
  if (!rest.starts_with("key/")) return refuse(text, "it does not name a key");
  out.key_id = rest.substr(4);
  if (!is_key_id(out.key_id)) return refuse(text, "malformed key id");
  return out;
}

std::string KeyArn::to_string() const {
  return fmt::format("arn:{}:kms:{}:{}:key/{}", partition, region, account, key_id);
}

}  // namespace cloister::kms
