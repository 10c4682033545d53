#include "kms/sigv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "kms/times.h"
#include "sys/file.h"

namespace cloister::kms {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

constexpr std::string_view kSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

Credentials example_credentials() {
  return {"AKIDEXAMPLE", Secret(as_bytes(kSecret)), std::nullopt};
}

// "Create a signed AWS API request" in the AWS General Reference.
http::Request list_users() {
  http::Request request;
  request.target = "/?Action=ListUsers&Version=2010-05-08";
  request.fields.set("Host", "iam.amazonaws.com");
  request.fields.set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
  return request;
}

http::Request signed_list_users() {
  auto request = list_users();
  EXPECT_TRUE(sign(request, example_credentials(), "us-east-1", "iam", *parse_amz_date("20150830T123600Z")));
  return request;
}

ParsedAuthorization authorization_of(const http::Request& request) {
  auto parsed = parse_authorization(request.fields.get("Authorization"));
  EXPECT_TRUE(parsed);
  return *std::move(parsed);
}

TEST(SigV4, MatchesThePublishedExample) {
  auto request = signed_list_users();
  EXPECT_EQ(request.fields.get("X-Amz-Date"), "20150830T123600Z");
  EXPECT_EQ(request.fields.get("Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

TEST(SigV4, MatchesBotocore) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(CLOISTER_TEST_DATA "/sigv4")) {
    if (entry.path().extension() != ".json") continue;
    ++count;
    auto bytes = sys::read_file(entry.path(), 65536);
    ASSERT_TRUE(bytes);
    auto vector = nlohmann::json::parse(*bytes);
    auto text = [&](const char* name) { return vector[name].get<std::string>(); };
    http::Request request{.method = text("method"), .target = text("target"), .body = text("body")};
    request.fields.set("Host", text("host"));
    for (const auto& header : vector["headers"]) {
      request.fields.add(header[0].get<std::string>(), header[1].get<std::string>());
    }
    Credentials credentials{text("access_key_id"), Secret(as_bytes(text("secret_access_key"))), std::nullopt};
    if (vector["session_token"].is_string()) {
      credentials.session_token = Secret(as_bytes(text("session_token")));
    }
    ASSERT_TRUE(
        sign(request, credentials, text("region"), text("service"), *parse_amz_date(text("amz_date"))));
    auto parsed = authorization_of(request);
    EXPECT_EQ(canonical_request(request, parsed.signed_headers), text("canonical_request")) << entry.path();
    EXPECT_EQ(request.fields.get("Authorization"), text("authorization")) << entry.path();
    auto expected = expected_signature(request, parsed, credentials.secret_access_key.view());
    ASSERT_TRUE(expected);
    EXPECT_EQ(*expected, parsed.signature);
  }
  EXPECT_GE(count, 5);
}

TEST(SigV4, ASignatureCoversTheRequest) {
  auto good = signed_list_users();
  auto parsed = authorization_of(good);
  EXPECT_EQ(*expected_signature(good, parsed, as_bytes(kSecret)), parsed.signature);

  auto differs = [&](const auto& change) {
    auto request = good;
    change(request);
    auto expected = expected_signature(request, parsed, as_bytes(kSecret));
    return !expected || *expected != parsed.signature;
  };
  EXPECT_FALSE(differs([](auto&) {}));
  EXPECT_TRUE(differs([](auto& r) { r.method = "POST"; }));
  EXPECT_TRUE(differs([](auto& r) { r.target = "/x?Action=ListUsers&Version=2010-05-08"; }));
  EXPECT_TRUE(differs([](auto& r) { r.target += "&More=1"; }));
  EXPECT_TRUE(differs([](auto& r) { r.body = "x"; }));
  EXPECT_TRUE(differs([](auto& r) { r.fields.set("Host", "iam.example.com"); }));
  EXPECT_TRUE(differs([](auto& r) { r.fields.set("Content-Type", "text/plain"); }));
  EXPECT_TRUE(differs([](auto& r) { r.fields.add("Content-Type", "text/plain"); }));
  EXPECT_TRUE(differs([](auto& r) { r.fields.set("X-Amz-Date", "20150830T123601Z"); }));
  EXPECT_FALSE(differs([](auto& r) { r.fields.set("Accept", "anything"); }));

  std::string other_key(kSecret);
  other_key.back() = 'Z';
  EXPECT_NE(*expected_signature(good, parsed, as_bytes(other_key)), parsed.signature);
}

TEST(SigV4, RefusesToVerifyWhatIsNotCovered) {
  auto good = signed_list_users();
  auto parsed = authorization_of(good);
  auto refused = [&](const auto& change) {
    auto request = good;
    change(request);
    auto expected = expected_signature(request, parsed, as_bytes(kSecret));
    return !expected && expected.error().kind() == ErrorKind::invalid;
  };
  EXPECT_TRUE(refused([](auto& r) { r.fields.set("X-Amz-Target", "TrentService.Decrypt"); }));
  EXPECT_TRUE(refused([](auto& r) { r.fields.set("X-Amz-Date", "20150831T000000Z"); }));
  EXPECT_TRUE(refused([](auto& r) { r.fields.set("X-Amz-Date", "today"); }));
  http::Request without_type;
  without_type.fields.set("Host", "iam.amazonaws.com");
  without_type.fields.set("X-Amz-Date", "20150830T123600Z");
  EXPECT_FALSE(expected_signature(without_type, parsed, as_bytes(kSecret)));
}

TEST(SigV4, WantsAHost) {
  http::Request request;
  auto signed_without = sign(request, example_credentials(), "r", "s", 0);
  ASSERT_FALSE(signed_without);
  EXPECT_EQ(signed_without.error().kind(), ErrorKind::invalid);
}

TEST(SigV4, SigningAgainReplaces) {
  auto request = list_users();
  for (auto at : {"20150829T000000Z", "20150830T123600Z"}) {
    ASSERT_TRUE(sign(request, example_credentials(), "us-east-1", "iam", *parse_amz_date(at)));
  }
  EXPECT_THAT(std::string(request.fields.get("Authorization")),
              EndsWith("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"));
}

const std::string kHex(64, 'a');
std::string authorization(std::string_view credential, std::string_view headers, std::string_view signature) {
  return fmt::format("AWS4-HMAC-SHA256 Credential={}, SignedHeaders={}, Signature={}", credential, headers,
                     signature);
}

TEST(ParseAuthorization, Reads) {
  auto parsed = parse_authorization(fmt::format(
      "AWS4-HMAC-SHA256 Credential=K/20150830/eu-west-1/kms/aws4_request,SignedHeaders=a;host,Signature={}",
      kHex));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->access_key_id, "K");
  EXPECT_EQ(parsed->scope.to_string(), "20150830/eu-west-1/kms/aws4_request");
  EXPECT_THAT(parsed->signed_headers, ElementsAre("a", "host"));
  EXPECT_EQ(parsed->signature, kHex);
}

TEST(ParseAuthorization, RefusesAnythingElse) {
  const std::string credential = "K/20150830/eu-west-1/kms/aws4_request";
  std::string many = "host";
  for (int i = 0; i < 70; ++i) many += fmt::format(";x{:03}", i);
  for (const auto& text : {
           std::string(),
           std::string("Basic abc"),
           std::string("AWS4-HMAC-SHA256"),
           "AWS4-HMAC-SHA256-X" + authorization(credential, "host", kHex).substr(16),
           authorization("K/20150830/eu-west-1/kms", "host", kHex),
           authorization("K/20150830/eu-west-1/kms/aws3_request", "host", kHex),
           authorization("K/2015083/eu-west-1/kms/aws4_request", "host", kHex),
           authorization("K/2015083x/eu-west-1/kms/aws4_request", "host", kHex),
           authorization("/20150830/eu-west-1/kms/aws4_request", "host", kHex),
           authorization("K/20150830//kms/aws4_request", "host", kHex),
           authorization("K\n/20150830/eu-west-1/kms/aws4_request", "host", kHex),
           authorization(std::string(129, 'K') + "/20150830/eu-west-1/kms/aws4_request", "host", kHex),
           authorization(credential, "", kHex),
           authorization(credential, "x-amz-date", kHex),
           authorization(credential, "host;accept", kHex),
           authorization(credential, "host;host", kHex),
           authorization(credential, "Host", kHex),
           authorization(credential, "host;", kHex),
           authorization(credential, many, kHex),
           authorization(credential, "host", kHex.substr(1)),
           authorization(credential, "host", kHex + "a"),
           authorization(credential, "host", std::string(64, 'A')),
           authorization(credential, "host", kHex) + ", Signature=" + kHex,
           authorization(credential, "host", kHex) + ",",
       }) {
    auto parsed = parse_authorization(text);
    EXPECT_FALSE(parsed) << text;
  }
}

TEST(Times, AreReadAndWritten) {
  constexpr sys::UnixMillis kAt = 784111777000;  // RFC 9110's own example
  EXPECT_EQ(format_http_date(kAt), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(*parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), kAt);
  EXPECT_EQ(format_amz_date(kAt + 999), "19941106T084937Z");
  EXPECT_EQ(*parse_amz_date("19941106T084937Z"), kAt);
  EXPECT_EQ(*parse_amz_date("20240229T000000Z"), 1709164800000);
  EXPECT_EQ(format_amz_date(1709164800000), "20240229T000000Z");
}

TEST(Times, RefuseOtherForms) {
  for (const char* text :
       {"", "20150830T123600", "20150830T123600z", "20150830 123600Z", "20151330T123600Z", "20230229T000000Z",
        "20150830T243600Z", "20150830T126000Z", "2015083xT123600Z", "20150830T123600ZZ"}) {
    EXPECT_FALSE(parse_amz_date(text)) << text;
  }
  for (const char* text :
       {"", "Sun, 6 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun Nov  6 08:49:37 1994"}) {
    EXPECT_FALSE(parse_http_date(text)) << text;
  }
}

}  // namespace
}  // namespace cloister::kms
