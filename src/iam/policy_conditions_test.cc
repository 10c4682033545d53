#include "iam/policy_fixture.h"

namespace cloister::iam {
namespace {

// What the rule says of a Condition, for the request of the fixture.
struct Row {
  const char* page;
  const char* rule;
  std::string condition;
  bool holds;
};

// The same condition decides an Allow and, beside an Allow for everyone, a Deny.
void check(const std::vector<Row>& rows) {
  for (const auto& [page, rule, condition, holds] : rows) {
    SCOPED_TRACE(std::string(page) + ": " + rule + "\n" + condition);
    EXPECT_EQ(allows(policy_of(conditioned("Allow", condition)), user()), holds);
    EXPECT_EQ(allows(policy_of(kAllowDecrypt + "," + conditioned("Deny", condition)), user()), !holds);
  }
}

std::string image(const std::string& operation, const std::string& value) {
  return R"({")" + operation + R"(":{"kms:RecipientAttestation:ImageSha384":")" + value + "\"}}";
}
// PCR4 is not in the request.
std::string absent(const std::string& operation, const std::string& value) {
  return R"({")" + operation + R"(":{"kms:RecipientAttestation:PCR4":")" + value + "\"}}";
}
const std::string kUpper(96, 'A');

TEST(PolicyConditions, Strings) {
  check({
      {kOperators, "StringEquals is exact", image("StringEquals", kHash), true},
      {kOperators, "StringEquals minds case", image("StringEquals", kUpper), false},
      {kAttested, "the value of the key is lower-case hexadecimal: upper case needs IgnoreCase",
       image("StringEqualsIgnoreCase", kUpper), true},
      {kOperators, "IgnoreCase is still exact", image("StringEqualsIgnoreCase", kUpper.substr(1)), false},
      {kOperators, "StringEquals takes no wildcards", image("StringEquals", "*"), false},
      {kOperators, "StringLike: * is any run", image("StringLike", "*"), true},
      {kOperators, "StringLike: * may be empty, ? is one", image("StringLike", "a*a?"), true},
      {kOperators, "StringLike is whole", image("StringLike", "a*b"), false},
      {kOperators, "StringLike minds case", image("StringLike", "A*"), false},
      {kOperators, "an empty pattern matches the empty text only", image("StringLike", ""), false},
      {kOperators, "? is one character, however many bytes",
       R"({"StringLike":{"kms:EncryptionContext:AppName":"Cl?ister"}})", true},
      {kOperators, "? is not two characters",
       R"({"StringLike":{"kms:EncryptionContext:AppName":"Cl??ister"}})", false},
      {kOperators, "Not is the contrary", image("StringNotEquals", kHash), false},
      {kOperators, "Not is the contrary", image("StringNotEquals", "b"), true},
      {kOperators, "Not is the contrary", image("StringNotEqualsIgnoreCase", kUpper), false},
      {kOperators, "Not is the contrary", image("StringNotLike", "a*"), false},
      {kOperators, "Not is the contrary", image("StringNotLike", "b*"), true},
      {kElements, "a number stands for its text", R"({"StringEquals":{"kms:CallerAccount":111122223333}})",
       true},
  });
}

TEST(PolicyConditions, SeveralKeysAndValues) {
  check({
      {kBlocks, "several values of a key: OR",
       R"({"StringEquals":{"kms:CallerAccount":["999999999999","111122223333"]}})", true},
      {kBlocks, "several values of a negated operator: NOR",
       R"({"StringNotEquals":{"kms:CallerAccount":["999999999999","111122223333"]}})", false},
      {kBlocks, "NOR holds where none matches",
       R"({"StringNotEquals":{"kms:CallerAccount":["999999999999","888888888888"]}})", true},
      {kBlocks, "several keys of an operator: AND",
       R"({"StringEquals":{"kms:CallerAccount":"111122223333","kms:EncryptionContext:AppName":"x"}})", false},
      {kBlocks, "several operators: AND",
       R"({"StringEquals":{"kms:CallerAccount":"111122223333"},"Bool":{"aws:SecureTransport":"false"}})",
       false},
      {kGlobalKeys, "names of keys do not mind case",
       R"({"StringEquals":{"KMS:calleraccount":"111122223333"}})", true},
      {kKmsKeys, "nor does the name in kms:EncryptionContext:name",
       R"({"StringLike":{"kms:EncryptionContext:appname":"Cl*"}})", true},
      {kKmsKeys, "its value does, by the operator",
       R"({"StringLike":{"kms:EncryptionContext:AppName":"cl*"}})", false},
  });
}

TEST(PolicyConditions, AbsentKeys) {
  check({
      {kOperators, "a key that is not there: false", absent("StringEquals", "x"), false},
      {kOperators, "… whatever the pattern", absent("StringLike", "*"), false},
      {kOperators, "… and true for a negated operator: the trap, and why Deny with Not works",
       absent("StringNotEquals", "x"), true},
      {kOperators, "… likewise", absent("StringNotEqualsIgnoreCase", "x"), true},
      {kOperators, "… likewise", absent("StringNotLike", "*"), true},
      {kOperators, "IfExists: true where the key is not there", absent("StringEqualsIfExists", "x"), true},
      {kOperators, "IfExists: true also when negated", absent("StringNotEqualsIfExists", "x"), true},
      {kOperators, "IfExists: as ever where it is", image("StringEqualsIfExists", "x"), false},
      {kOperators, "Bool of an absent key: false", R"({"Bool":{"kms:MultiRegion":"false"}})", false},
      {kOperators, "BoolIfExists of an absent key: true", R"({"BoolIfExists":{"kms:MultiRegion":"false"}})",
       true},
      {kOperators, "dates, numbers and addresses are absent alike",
       R"({"NumericLessThan":{"kms:RotationPeriodInDays":"9"}})", false},
      {kOperators, "… negated", R"({"NotIpAddress":{"aws:VpcSourceIp":"10.0.0.0/8"}})", true},
      {kOperators, "… negated", R"({"ArnNotLike":{"aws:SourceArn":"arn:aws:s3:::x"}})", true},
      {kOperators, "Null true: the key is not there", absent("Null", "true"), true},
      {kOperators, "Null false: it is", absent("Null", "false"), false},
      {kOperators, "Null true", image("Null", "true"), false},
      {kOperators, "Null false", image("Null", "false"), true},
      {kKmsKeys, "kms:ViaService is absent from direct requests",
       R"({"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}})", false},
      {kOurs, "aws:PrincipalTag is never there", R"({"StringEquals":{"aws:PrincipalTag/team":"x"}})", false},
  });
}

std::string set_of(const std::string& operation, const std::string& values) {
  return R"({")" + operation + R"(":{"kms:EncryptionContextKeys":)" + values + "}}";
}

TEST(PolicyConditions, Sets) {
  check({
      {kMultivalued, "ForAllValues: each of the request's is among the policy's",
       set_of("ForAllValues:StringEquals", R"(["AppName","Release","More"])"), true},
      {kMultivalued, "ForAllValues: one that is not", set_of("ForAllValues:StringEquals", R"(["AppName"])"),
       false},
      {kKmsKeys, "names in kms:EncryptionContextKeys mind case with StringEquals",
       set_of("ForAllValues:StringEquals", R"(["appname","release"])"), false},
      {kMultivalued, "ForAnyValue: at least one",
       set_of("ForAnyValue:StringEquals", R"(["Release","Other"])"), true},
      {kMultivalued, "ForAnyValue: none", set_of("ForAnyValue:StringEquals", R"(["Other"])"), false},
      {kMultivalued, "ForAnyValue with Not: one that is not listed",
       set_of("ForAnyValue:StringNotEquals", R"(["AppName"])"), true},
      {kMultivalued, "ForAllValues with Not: none is listed",
       set_of("ForAllValues:StringNotEquals", R"(["AppName"])"), false},
      {kMultivalued, "ForAllValues with Not: none is listed",
       set_of("ForAllValues:StringNotLike", R"(["X*"])"), true},
      {kMultivalued, "IfExists after it", set_of("ForAnyValue:StringLikeIfExists", R"(["Rel*"])"), true},
      {kMultivalued, "ForAllValues is true of no values: the trap in an Allow",
       R"({"ForAllValues:StringEquals":{"kms:ResourceAliases":"alias/x"}})", true},
      {kMultivalued, "… unless Null is asked beside it",
       R"({"ForAllValues:StringEquals":{"kms:ResourceAliases":"alias/x"},"Null":{"kms:ResourceAliases":"false"}})",
       false},
      {kMultivalued, "ForAnyValue is false of no values",
       R"({"ForAnyValue:StringEquals":{"kms:ResourceAliases":"x"}})", false},
      {kMultivalued, "… also when negated", R"({"ForAnyValue:StringNotEquals":{"kms:ResourceAliases":"x"}})",
       false},
  });
}

TEST(PolicyConditions, OtherTypes) {
  check({
      {kOperators, "Bool", R"({"Bool":{"aws:SecureTransport":"true"}})", true},
      {kOperators, "Bool", R"({"Bool":{"aws:SecureTransport":false}})", false},
      {kOperators, "IpAddress: a range", R"({"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}})", true},
      {kOperators, "IpAddress: one address is /32",
       R"({"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.77"]}})", true},
      {kOperators, "IpAddress: outside", R"({"IpAddress":{"aws:SourceIp":"192.0.2.64/29"}})", false},
      {kOperators, "IpAddress: /0 is all of its family", R"({"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}})",
       true},
      {kOperators, "IpAddress: IPv6 is another family", R"({"IpAddress":{"aws:SourceIp":"::/0"}})", false},
      {kOperators, "NotIpAddress", R"({"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}})", false},
      {kOperators, "dates: before", R"({"DateLessThan":{"aws:CurrentTime":"2026-06-01T12:00:01Z"}})", true},
      {kOperators, "dates: not before itself",
       R"({"DateLessThan":{"aws:CurrentTime":"2026-06-01T12:00:00Z"}})", false},
      {kOperators, "dates: ISO 8601 with a zone",
       R"({"DateEquals":{"aws:CurrentTime":"2026-06-01T14:00:00.0+02:00"}})", true},
      {kOperators, "dates: a day is its midnight", R"({"DateGreaterThan":{"aws:CurrentTime":"2026-06-01"}})",
       true},
      {kOperators, "dates: epoch time too", R"({"DateGreaterThanEquals":{"aws:CurrentTime":"1780315200"}})",
       true},
      {kGlobalKeys, "aws:EpochTime takes numbers or dates",
       R"({"NumericLessThan":{"aws:EpochTime":1780315201}})", true},
      {kGlobalKeys, "aws:EpochTime takes numbers or dates",
       R"({"DateLessThanEquals":{"aws:EpochTime":"2026-06-01T12:00Z"}})", true},
      {kOperators, "NumericNotEquals", R"({"NumericNotEquals":{"aws:EpochTime":"1780315200"}})", false},
      {kOperators, "ArnEquals behaves as ArnLike",
       R"({"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/o*"}})", true},
      {kOperators, "ArnLike", R"({"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}})", false},
      {kOperators, "each of the six parts of an ARN is checked by itself",
       R"({"ArnLike":{"aws:PrincipalArn":"arn:*:user/owner:x:y:z"}})", false},
      {kOperators, "ArnNotLike", R"({"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}})", true},
      {kOperators, "BinaryEquals compares with what the base64 stands for",
       R"({"BinaryEquals":{"kms:CallerAccount":"MTExMTIyMjIzMzMz"}})", true},
      {kOperators, "BinaryEquals, byte for byte",
       R"({"BinaryEquals":{"kms:CallerAccount":"MTExMTIyMjIzMzMw"}})", false},
  });
}

// PCR8 of the fixture is all zero, as every PCR of an enclave in debug mode is.
TEST(PolicyConditions, ZeroRegistersOpenNothing) {
  struct Zero {
    const char* rule;
    std::string condition;
    bool allow;
    bool deny;
  };
  auto pcr8 = [](const std::string& operation, const std::string& value) {
    return R"({")" + operation + R"(":{"kms:RecipientAttestation:PCR8":")" + value + "\"}}";
  };
  const Zero kTable[] = {
      {"a hash: not it", pcr8("StringEquals", kHash), false, false},
      {"96 zeros, named: no Allow, but a Deny", pcr8("StringEquals", kZeros), false, true},
      {"*: no Allow, but a Deny", pcr8("StringLike", "*"), false, true},
      {"IfExists with a hash: no Allow", pcr8("StringEqualsIfExists", kHash), false, true},
      {"unless it is the image: denied", pcr8("StringNotEqualsIgnoreCase", kHash), true, true},
      {"unless it is 96 zeros: denied", pcr8("StringNotEquals", kZeros), false, true},
      {"there is a document: no Allow", pcr8("Null", "false"), false, true},
      {"there is no document: no Allow", pcr8("Null", "true"), false, true},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(std::string(kOurs) + ": " + row.rule);
    EXPECT_EQ(allows(policy_of(conditioned("Allow", row.condition)), user()), row.allow);
    EXPECT_EQ(allows(policy_of(kAllowDecrypt + "," + conditioned("Deny", row.condition)), user()), !row.deny);
  }
}

}  // namespace
}  // namespace cloister::iam
