#include "iam/policy_operators.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <optional>

#include "codec/base64.h"
#include "iam/policy_date.h"

namespace cloister::iam {

namespace {

struct OperatorName {
  std::string_view name;
  Comparison comparison;
  Order order = Order::equal;
  bool negated = false;
};

constexpr OperatorName kOperators[] = {
    {"StringEquals", Comparison::string_equals},
    {"StringNotEquals", Comparison::string_equals, Order::equal, true},
    {"StringEqualsIgnoreCase", Comparison::string_equals_ignore_case},
    {"StringNotEqualsIgnoreCase", Comparison::string_equals_ignore_case, Order::equal, true},
    {"StringLike", Comparison::string_like},
    {"StringNotLike", Comparison::string_like, Order::equal, true},
    {"Bool", Comparison::boolean},
    {"Null", Comparison::null},
    {"BinaryEquals", Comparison::binary},
    {"ArnEquals", Comparison::arn_like},
    {"ArnNotEquals", Comparison::arn_like, Order::equal, true},
    {"ArnLike", Comparison::arn_like},
    {"ArnNotLike", Comparison::arn_like, Order::equal, true},
    {"IpAddress", Comparison::ip_address},
    {"NotIpAddress", Comparison::ip_address, Order::equal, true},
    {"NumericEquals", Comparison::numeric},
    {"NumericNotEquals", Comparison::numeric, Order::equal, true},
    {"NumericLessThan", Comparison::numeric, Order::less},
    {"NumericLessThanEquals", Comparison::numeric, Order::less_or_equal},
    {"NumericGreaterThan", Comparison::numeric, Order::greater},
    {"NumericGreaterThanEquals", Comparison::numeric, Order::greater_or_equal},
    {"DateEquals", Comparison::date},
    {"DateNotEquals", Comparison::date, Order::equal, true},
    {"DateLessThan", Comparison::date, Order::less},
    {"DateLessThanEquals", Comparison::date, Order::less_or_equal},
    {"DateGreaterThan", Comparison::date, Order::greater},
    {"DateGreaterThanEquals", Comparison::date, Order::greater_or_equal},
};

constexpr std::string_view kForAll = "ForAllValues:";
constexpr std::string_view kForAny = "ForAnyValue:";
constexpr std::string_view kIfExists = "IfExists";

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<bool> parse_boolean(std::string_view text) {
  auto lower = to_lower(text);
  if (lower == "true") return true;
  if (lower == "false") return false;
  return {};
}

bool in_order(Order order, double actual, double wanted) {
  switch (order) {
    case Order::equal:
      return !(actual < wanted) && !(actual > wanted);
    case Order::less:
      return actual < wanted;
    case Order::less_or_equal:
      return actual <= wanted;
    case Order::greater:
      return actual > wanted;
    case Order::greater_or_equal:
      return actual >= wanted;
  }
  return false;
}

// "192.0.2.0/24", "2001:db8::/32", or one address.
struct AddressRange {
  int family = AF_UNSPEC;
  std::array<unsigned char, 16> address{};
  unsigned prefix = 0;  // bits

  static std::optional<AddressRange> parse(std::string_view text) {
    AddressRange range;
    auto slash = text.find('/');
    std::string host(text.substr(0, slash));
    range.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
    if (::inet_pton(range.family, host.c_str(), range.address.data()) != 1) return {};
    unsigned width = range.family == AF_INET ? 32 : 128;
    range.prefix = width;
    if (slash == std::string_view::npos) return range;
    auto bits = text.substr(slash + 1);
    auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), range.prefix);
    if (error != std::errc() || end != bits.data() + bits.size() || range.prefix > width) return {};
    return range;
  }

  bool contains(const AddressRange& one) const {
    if (family != one.family) return false;
    for (unsigned bit = 0; bit < prefix; ++bit) {
      if (((address[bit / 8] ^ one.address[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
    }
    return true;
  }
};

// Six parts between colons, the last of which may hold colons itself; each part has its own wildcards.
bool arn_matches(std::string_view pattern, std::string_view arn) {
  constexpr int kLeadingParts = 5;
  for (int part = 0; part < kLeadingParts; ++part) {
    auto pattern_end = pattern.find(':');
    auto arn_end = arn.find(':');
    if (pattern_end == std::string_view::npos || arn_end == std::string_view::npos) return false;
    if (!matches_wildcards(pattern.substr(0, pattern_end), arn.substr(0, arn_end))) return false;
    pattern.remove_prefix(pattern_end + 1);
    arn.remove_prefix(arn_end + 1);
  }
  return matches_wildcards(pattern, arn);
}

bool has_arn_shape(std::string_view text) {
  int colons = 0;
  for (char c : text) colons += c == ':' ? 1 : 0;
  return colons >= 5;
}

bool compare_numbers(Order order, std::optional<double> actual, std::optional<double> wanted) {
  return actual && wanted && in_order(order, *actual, *wanted);
}

}  // namespace

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

namespace {

// Bytes of the UTF-8 character that starts the text: `?` stands for one, not for one byte of it.
std::size_t character_size(std::string_view text) {
  std::size_t size = 1;
  while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) ++size;
  return size;
}

}  // namespace

// Linear in practice: only the last star is ever retried.
bool matches_wildcards(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && pattern[p] == '?') {
      ++p;
      t += character_size(text.substr(t));
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<ConditionOperator> ConditionOperator::parse(std::string_view name) {
  ConditionOperator out;
  auto rest = name;
  if (take_prefix(rest, kForAll))
    out.set = SetRule::for_all;
  else if (take_prefix(rest, kForAny))
    out.set = SetRule::for_any;
  if (rest.ends_with(kIfExists)) {
    out.if_exists = true;
    rest.remove_suffix(kIfExists.size());
  }
  for (const auto& known : kOperators) {
    if (known.name != rest) continue;
    out.comparison = known.comparison;
    out.order = known.order;
    out.negated = known.negated;
    bool plain = out.set == SetRule::single && !out.if_exists;
    if (out.comparison == Comparison::null && !plain) break;
    return out;
  }
  return fail(ErrorKind::invalid, "unknown condition operator {}", name);
}

std::string ConditionOperator::name() const {
  std::string_view prefix = set == SetRule::for_all ? kForAll : set == SetRule::for_any ? kForAny : "";
  for (const auto& known : kOperators) {
    if (known.comparison == comparison && known.order == order && known.negated == negated)
      return fmt::format("{}{}{}", prefix, known.name, if_exists ? kIfExists : "");
  }
  return "?";
}

Status ConditionOperator::check_value(std::string_view value) const {
  bool good = true;
  switch (comparison) {
    case Comparison::boolean:
    case Comparison::null:
      good = parse_boolean(value).has_value();
      break;
    case Comparison::binary:
      good = codec::from_base64(value).has_value();
      break;
    case Comparison::ip_address:
      good = AddressRange::parse(value).has_value();
      break;
    case Comparison::numeric:
      good = parse_policy_number(value).has_value();
      break;
    case Comparison::date:
      good = parse_policy_date(value).has_value();
      break;
    case Comparison::arn_like:
      good = value == "*" || has_arn_shape(value);
      break;
    case Comparison::string_equals:
    case Comparison::string_equals_ignore_case:
    case Comparison::string_like:
      break;
  }
  if (!good)
    return fail(ErrorKind::invalid, "a condition compares with a value that its operator does not take");
  return {};
}

bool ConditionOperator::compare(std::string_view actual, std::string_view wanted) const {
  switch (comparison) {
    case Comparison::string_equals:
      return actual == wanted;
    case Comparison::string_equals_ignore_case:
      return to_lower(actual) == to_lower(wanted);
    case Comparison::string_like:
      return matches_wildcards(wanted, actual);
    case Comparison::boolean: {
      auto value = parse_boolean(actual);
      return value && value == parse_boolean(wanted);
    }
    case Comparison::binary: {
      auto bytes = codec::from_base64(wanted);
      return bytes && as_text(*bytes) == actual;
    }
    case Comparison::arn_like:
      return wanted == "*" || arn_matches(wanted, actual);
    case Comparison::ip_address: {
      auto range = AddressRange::parse(wanted);
      auto one = AddressRange::parse(actual);
      return range && one && range->contains(*one);
    }
    case Comparison::numeric:
      return compare_numbers(order, parse_policy_number(actual), parse_policy_number(wanted));
    case Comparison::date:
      return compare_numbers(order, parse_policy_date(actual), parse_policy_date(wanted));
    case Comparison::null:
      break;
  }
  return false;
}

bool ConditionOperator::matches_one(std::string_view actual, const std::vector<std::string>& wanted) const {
  bool any = false;
  for (const auto& value : wanted) any = any || compare(actual, value);
  return any != negated;
}

bool ConditionOperator::holds(const std::vector<std::string>* actual,
                              const std::vector<std::string>& wanted) const {
  bool absent = actual == nullptr || actual->empty();
  if (comparison == Comparison::null) {
    for (const auto& value : wanted) {
      if (parse_boolean(value) == absent) return true;
    }
    return false;
  }
  if (absent) {
    if (if_exists || set == SetRule::for_all) return true;
    return set == SetRule::single && negated;
  }
  // Without a set operator a key of several values is looked at as NOT(any) when negated, as any otherwise.
  bool all = set == SetRule::for_all || (set == SetRule::single && negated);
  for (const auto& value : *actual) {
    if (matches_one(value, wanted) != all) return !all;
  }
  return all;
}

}  // namespace cloister::iam
