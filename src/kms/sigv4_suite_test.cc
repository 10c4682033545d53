// The requests and signatures of AWS's signing test suite ("Signature Version 4 test suite", as kept with
// AWS's own SDKs): one key, one instant, the service "service". What it has beyond this table is about paths
// that are signed as they stand, which only S3 does.
#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "kms/sigv4.h"
#include "kms/times.h"

namespace cloister::kms {
namespace {

struct Field {
  const char* name;
  const char* value;
};

struct Case {
  const char* name;
  const char* method;
  const char* target;  // as it is signed: before anything was encoded
  std::vector<Field> fields;
  const char* body;
  const char* session_token;  // nullptr: long-lived credentials
  const char* signature;
};

constexpr const char* kStsToken =
    "AQoDYXdzEPT//////////"
    "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8Y"
    "UuwthAx7mSEI/qkPpKPi/"
    "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE"
    "8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
    "scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2"
    "ICCR/oLxBA==";
constexpr const char* kUnreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr const char* kUnreservedQuery =
    "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz="
    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr const char* kVanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
constexpr const char* kVanillaPost = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
constexpr const char* kPostQuery = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11";
// SHA-256 of "Param1=value1", which the suite's writers sign as a field too.
constexpr Field kBodyHash{"x-amz-content-sha256",
                          "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"};

const Case kCases[] = {
    {"get-vanilla", "GET", "/", {}, "", nullptr, kVanilla},
    {"get-vanilla-query", "GET", "/?", {}, "", nullptr, kVanilla},
    {"get-relative", "GET", "/example/..", {}, "", nullptr, kVanilla},
    {"get-relative-relative", "GET", "/example1/example2/../..", {}, "", nullptr, kVanilla},
    {"get-slash", "GET", "//", {}, "", nullptr, kVanilla},
    {"get-slash-dot-slash", "GET", "/./", {}, "", nullptr, kVanilla},
    {"get-slash-pointless-dot",
     "GET",
     "/./example",
     {},
     "",
     nullptr,
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"get-slashes",
     "GET",
     "//example//",
     {},
     "",
     nullptr,
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-space",
     "GET",
     "/example space/",
     {},
     "",
     nullptr,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-unreserved",
     "GET",
     kUnreserved,
     {},
     "",
     nullptr,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8",
     "GET",
     "/\u1234",
     {},
     "",
     nullptr,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/?Param1=value1",
     {},
     "",
     nullptr,
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-encoded",
     "GET",
     "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     {},
     "",
     nullptr,
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/?Param2=value2&Param1=value1",
     {},
     "",
     nullptr,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-unreserved",
     "GET",
     kUnreservedQuery,
     {},
     "",
     nullptr,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query",
     "GET",
     "/?\u1234=bar",
     {},
     "",
     nullptr,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-vanilla-with-session-token",
     "GET",
     "/",
     {},
     "",
     "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     "",
     nullptr,
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order",
     "GET",
     "/",
     {{"My-Header1", "value4"}, {"My-Header1", "value1"}, {"My-Header1", "value3"}, {"My-Header1", "value2"}},
     "",
     nullptr,
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    // Its lines are folded, which RFC 9112 section 5.2 has a reader turn into spaces.
    {"get-header-value-multiline",
     "GET",
     "/",
     {{"My-Header1", "value1   value2      value3"}},
     "",
     nullptr,
     "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"},
    {"get-header-value-trim",
     "GET",
     "/",
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     "",
     nullptr,
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-vanilla", "POST", "/", {}, "", nullptr, kVanillaPost},
    {"post-header-key-case", "POST", "/", {}, "", nullptr, kVanillaPost},
    {"post-header-key-sort",
     "POST",
     "/",
     {{"My-Header1", "value1"}},
     "",
     nullptr,
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     {{"My-Header1", "VALUE1"}},
     "",
     nullptr,
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    // The token joins when the signature is made already: it is that of the request without.
    {"post-sts-header-after", "POST", "/", {}, "", nullptr, kVanillaPost},
    {"post-sts-header-before",
     "POST",
     "/",
     {},
     "",
     kStsToken,
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"post-vanilla-query", "POST", "/?Param1=value1", {}, "", nullptr, kPostQuery},
    {"post-vanilla-empty-query-value", "POST", "/?Param1=value1", {}, "", nullptr, kPostQuery},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     {{"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Length", "13"}, kBodyHash},
     "Param1=value1",
     nullptr,
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {"post-x-www-form-urlencoded-parameters",
     "POST",
     "/",
     {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
      {"Content-Length", "13"},
      kBodyHash},
     "Param1=value1",
     nullptr,
     "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
};

constexpr std::string_view kSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
constexpr const char* kAt = "20150830T123600Z";

http::Request request_of(const Case& test) {
  http::Request request{.method = test.method, .target = test.target, .body = test.body};
  request.fields.set("Host", "example.amazonaws.com");
  for (const auto& field : test.fields) request.fields.add(field.name, field.value);
  return request;
}

// The suite signs every field; sign() those that AWS demands. Both have their signature here.
ParsedAuthorization everything_signed(const http::Request& request) {
  std::set<std::string> names;
  for (const auto& [name, value] : request.fields.all()) {
    std::string lower(name);
    for (auto& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower != "authorization") names.insert(lower);
  }
  return {.access_key_id = "AKIDEXAMPLE",
          .scope = {"20150830", "us-east-1", "service"},
          .signed_headers = {names.begin(), names.end()},
          .signature = {}};
}

class SigningSuite : public testing::TestWithParam<Case> {};

TEST_P(SigningSuite, HasItsSignature) {
  auto request = request_of(GetParam());
  Credentials credentials{"AKIDEXAMPLE", Secret(as_bytes(kSecret)), std::nullopt};
  if (GetParam().session_token != nullptr)
    credentials.session_token = Secret(as_bytes(std::string_view(GetParam().session_token)));
  ASSERT_TRUE(sign(request, credentials, "us-east-1", "service", *parse_amz_date(kAt)));
  auto whole = everything_signed(request);
  auto expected = expected_signature(request, whole, as_bytes(kSecret));
  ASSERT_TRUE(expected) << expected.error().message();
  EXPECT_EQ(*expected, GetParam().signature) << canonical_request(request, whole.signed_headers);
  auto ours = parse_authorization(request.fields.get("Authorization"));
  ASSERT_TRUE(ours);
  if (ours->signed_headers == whole.signed_headers) {
    EXPECT_EQ(ours->signature, GetParam().signature);
  }
}

INSTANTIATE_TEST_SUITE_P(Aws, SigningSuite, testing::ValuesIn(kCases), [](const auto& test) {
  std::string name = test.param.name;
  for (auto& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace cloister::kms
