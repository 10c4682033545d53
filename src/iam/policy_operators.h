// Condition operators of IAM policies: their names, which values they take, and one comparison of one value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cloister::iam {

enum class Comparison {
  string_equals,
  string_equals_ignore_case,
  string_like,
  boolean,
  null,
  binary,    // the policy's value is base64 of the key's
  arn_like,  // ArnEquals and ArnLike are the same, as AWS documents
  ip_address,
  numeric,
  date,
};
enum class Order { equal, less, less_or_equal, greater, greater_or_equal };
// How a key with several values in the request is looked at.
enum class SetRule { single, for_all, for_any };

struct ConditionOperator {
  Comparison comparison = Comparison::null;
  Order order = Order::equal;  // numeric, date
  bool negated = false;        // StringNotEquals…
  bool if_exists = false;
  SetRule set = SetRule::single;

  // "ForAnyValue:StringNotLikeIfExists" and so on. invalid: not an operator of AWS.
  static Result<ConditionOperator> parse(std::string_view name);
  // As a policy writes it.
  std::string name() const;
  // Whether a policy may compare with this value: "true" for Bool, a date for DateLessThan…
  Status check_value(std::string_view value) const;

  // The whole condition: the key's values in the request (nullptr: absent) against the policy's.
  bool holds(const std::vector<std::string>* actual, const std::vector<std::string>& wanted) const;

 private:
  bool matches_one(std::string_view actual, const std::vector<std::string>& wanted) const;
  bool compare(std::string_view actual, std::string_view wanted) const;
};

// `*` for any run of characters, `?` for one.
bool matches_wildcards(std::string_view pattern, std::string_view text);
std::string to_lower(std::string_view text);  // ASCII

}  // namespace cloister::iam
