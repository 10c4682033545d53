#include "iam/policy_operators.h"

#include <gtest/gtest.h>

namespace cloister::iam {
namespace {

TEST(Wildcards, Match) {
  EXPECT_TRUE(matches_wildcards("*", ""));
  EXPECT_TRUE(matches_wildcards("a*b*c", "aXXbYYc"));
  EXPECT_TRUE(matches_wildcards("a*b*c", "abbc"));
  EXPECT_FALSE(matches_wildcards("a*b*c", "acb"));
  EXPECT_FALSE(matches_wildcards("?", ""));
  EXPECT_FALSE(matches_wildcards("", "a"));
  // Quadratic at worst: exponential matchers hang here.
  EXPECT_FALSE(matches_wildcards("*a*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(20'000, 'a')));
}

TEST(ConditionOperator, ReadsPrefixAndSuffix) {
  auto parsed = ConditionOperator::parse("ForAnyValue:StringNotLikeIfExists");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->comparison, Comparison::string_like);
  EXPECT_EQ(parsed->set, SetRule::for_any);
  EXPECT_TRUE(parsed->negated);
  EXPECT_TRUE(parsed->if_exists);
  for (const char* name :
       {"", "IfExists", "ForAnyValue:", "ForAnyValue:Null", "StringEqualsIfExistsIfExists"}) {
    EXPECT_FALSE(ConditionOperator::parse(name)) << name;
  }
}

}  // namespace
}  // namespace cloister::iam
