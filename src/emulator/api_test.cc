#include "emulator/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/api_fixture.h"
#include "emulator/parameters.h"

namespace cloister::emulator {
namespace {

using testing::HasSubstr;

// --- authentication
// -----------------------------------------------------------------------------------------------------------

TEST_F(ApiTest, UnsignedRequestsAreRefused) {
  auto made = send(request("ListKeys", json::object()));
  EXPECT_EQ(made.status, 400);
  EXPECT_EQ(made.error(), "MissingAuthenticationTokenException");
  auto garbage = request("ListKeys", json::object());
  garbage.fields.set("Authorization", "Bearer x");
  EXPECT_EQ(send(garbage).error(), "IncompleteSignatureException");
}

TEST_F(ApiTest, UnknownAccessKeysAreRefused) {
  kms::Credentials stranger{"AKIAAAAAAAAAAAAAAAAA", owner_.secret_access_key.copy(), {}};
  EXPECT_EQ(call(stranger, "ListKeys", json::object()).error(), "UnrecognizedClientException");
}

TEST_F(ApiTest, WrongSecretsAreRefused) {
  kms::Credentials forger{owner_.access_key_id, host_.secret_access_key.copy(), {}};
  auto made = call(forger, "ListKeys", json::object());
  EXPECT_EQ(made.status, 400);
  EXPECT_EQ(made.error(), "InvalidSignatureException");
}

TEST_F(ApiTest, ForeignSessionTokensAreRefused) {
  kms::Credentials temporary{owner_.access_key_id, owner_.secret_access_key.copy(),
                             Secret(as_bytes("token"))};
  EXPECT_EQ(call(temporary, "ListKeys", json::object()).error(), "UnrecognizedClientException");
}

TEST_F(ApiTest, ChangedRequestsAreRefused) {
  auto made = request("ListKeys", {{"Limit", 1}});
  ASSERT_TRUE(kms::sign(made, owner_, "us-east-1", "kms", kNow));
  EXPECT_EQ(send(made).status, 200);
  auto body = made;
  body.body = R"({"Limit":2})";
  EXPECT_EQ(send(body).error(), "InvalidSignatureException");
  auto operation = made;
  operation.fields.set("X-Amz-Target", "TrentService.CreateKey");
  EXPECT_EQ(send(operation).error(), "InvalidSignatureException");
  auto unsigned_field = made;
  unsigned_field.fields.set("X-Amz-Extra", "x");
  EXPECT_EQ(send(unsigned_field).error(), "IncompleteSignatureException");
}

TEST_F(ApiTest, DatesFarFromNowAreRefused) {
  auto made = request("ListKeys", json::object());
  ASSERT_TRUE(kms::sign(made, owner_, "us-east-1", "kms", kNow));
  EXPECT_EQ(send(made, kNow + kMaxClockSkew).status, 200);
  EXPECT_EQ(send(made, kNow - kMaxClockSkew).status, 200);
  auto expired = send(made, kNow + kMaxClockSkew + 1000);
  EXPECT_EQ(expired.error(), "InvalidSignatureException");
  EXPECT_EQ(
      expired.message(),
      "Signature expired: 20270115T080000Z is now earlier than 20270115T080001Z (20270115T080501Z - 5 min.)");
  EXPECT_THAT(send(made, kNow - kMaxClockSkew - 1000).message(), HasSubstr("Signature not yet current"));
}

TEST_F(ApiTest, OtherScopesAreRefused) {
  auto region = request("ListKeys", json::object());
  ASSERT_TRUE(kms::sign(region, owner_, "eu-central-1", "kms", kNow));
  EXPECT_THAT(send(region).message(), HasSubstr("valid region, not 'eu-central-1'"));
  auto service = request("ListKeys", json::object());
  ASSERT_TRUE(kms::sign(service, owner_, "us-east-1", "s3", kNow));
  EXPECT_THAT(send(service).message(), HasSubstr("correct service: 'kms'"));
}

// --- requests
// -----------------------------------------------------------------------------------------------------------------

TEST_F(ApiTest, OperationsThatAreNotThereAreNamed) {
  auto made = call(owner_, "CreateGrant", json::object());
  EXPECT_EQ(made.status, 400);
  EXPECT_EQ(made.error(), "UnsupportedOperationException");
  EXPECT_THAT(made.message(), HasSubstr("CreateGrant"));
}

struct BadRequest {
  const char* operation;
  const char* body;
  const char* error;
};

TEST_F(ApiTest, MalformedRequestsAreRefused) {
  new_key();
  const BadRequest kTable[] = {
      {"ListKeys", "[]", "SerializationException"},
      {"ListKeys", "{", "SerializationException"},
      {"ListKeys", R"({"Limit":1,"Limit":2})", "SerializationException"},
      {"ListKeys", R"({"Limit":"1"})", "SerializationException"},
      {"ListKeys", R"({"Limit":0})", "ValidationException"},
      {"ListKeys", R"({"Limit":18446744073709551615})", "ValidationException"},
      {"DescribeKey", "{}", "ValidationException"},
      {"DescribeKey", R"({"KeyId":7})", "SerializationException"},
      {"DescribeKey", R"({"KeyId":"x"})", "NotFoundException"},
      {"EnableKey", R"({"KeyId":"alias/none"})", "NotFoundException"},
      {"DescribeKey", R"({"KeyId":"alias/none"})", "NotFoundException"},
      {"DescribeKey", R"({"KeyId":"arn:aws:kms:us-east-1:999999999999:key/x"})", "NotFoundException"},
      {"DescribeKey", R"({"KeyId":"arn:aws:kms:us-east-1:111122223333:thing/x"})", "InvalidArnException"},
      {"CreateKey", R"({"KeySpec":"RSA_2048"})", "UnsupportedOperationException"},
      {"CreateKey", R"({"MultiRegion":true})", "UnsupportedOperationException"},
      {"CreateKey", R"({"Policy":"{}"})", "MalformedPolicyDocumentException"},
      {"CreateKey", R"({"Tags":[{"TagKey":"a","TagValue":"1"},{"TagKey":"a","TagValue":"2"}]})",
       "TagException"},
      {"CreateAlias", R"({"AliasName":"app","TargetKeyId":"x"})", "ValidationException"},
      {"CreateAlias", R"({"AliasName":"alias/a:b","TargetKeyId":"x"})", "InvalidAliasNameException"},
      {"CreateAlias", R"({"AliasName":"alias/aws/x","TargetKeyId":"x"})", "NotAuthorizedException"},
      {"CreateAlias", R"({"AliasName":"alias/x","TargetKeyId":"alias/y"})", "ValidationException"},
      {"GenerateRandom", "{}", "ValidationException"},
      {"GenerateRandom", R"({"NumberOfBytes":1025})", "ValidationException"},
      {"Decrypt", R"({"CiphertextBlob":"!"})", "SerializationException"},
      {"Decrypt", R"({"CiphertextBlob":"AAAA"})", "InvalidCiphertextException"},
  };
  for (const auto& row : kTable) {
    auto made = request(row.operation, json::object());
    made.body = row.body;
    ASSERT_TRUE(kms::sign(made, owner_, "us-east-1", "kms", kNow));
    auto answer = send(made);
    EXPECT_EQ(answer.status, 400) << row.body;
    EXPECT_EQ(answer.error(), row.error) << row.operation << row.body << answer.body;
  }
}

TEST_F(ApiTest, KeysAreDescribedAndListed) {
  auto key = create_key({{"Description", "d"}, {"Tags", {{{"TagKey", "k"}, {"TagValue", "v"}}}}});
  EXPECT_EQ(key.at("KeyState"), "Enabled");
  ASSERT_EQ(
      call(owner_, "CreateAlias", {{"AliasName", "alias/app"}, {"TargetKeyId", key.at("KeyId")}}).status,
      200);
  EXPECT_EQ(
      call(owner_, "CreateAlias", {{"AliasName", "alias/app"}, {"TargetKeyId", key.at("KeyId")}}).error(),
      "AlreadyExistsException");
  for (std::string name :
       {key.at("KeyId").get<std::string>(), key.at("Arn").get<std::string>(), std::string("alias/app"),
        std::string("arn:aws:kms:us-east-1:111122223333:alias/app")}) {
    EXPECT_EQ(call(owner_, "DescribeKey", {{"KeyId", name}}).body.at("KeyMetadata"), key) << name;
  }
  EXPECT_EQ(
      call(owner_, "ListResourceTags", {{"KeyId", key.at("KeyId")}}).body.at("Tags").at(0).at("TagValue"),
      "v");
  EXPECT_EQ(call(owner_, "ListAliases", json::object()).body.at("Aliases").at(0).at("TargetKeyId"),
            key.at("KeyId"));
  new_key();
  auto first = call(owner_, "ListKeys", {{"Limit", 1}}).body;
  ASSERT_TRUE(first.at("Truncated"));
  auto second = call(owner_, "ListKeys", {{"Limit", 1}, {"Marker", first.at("NextMarker")}}).body;
  EXPECT_FALSE(second.at("Truncated"));
  EXPECT_NE(first.at("Keys").at(0), second.at("Keys").at(0));
}

// --- ciphertexts
// --------------------------------------------------------------------------------------------------------------

TEST_F(ApiTest, EncryptsAndDecrypts) {
  auto key = new_key();
  auto blob = encrypt(key, "secret", {{"b", "2"}, {"a", "1"}});
  auto opened =
      call(owner_, "Decrypt", {{"CiphertextBlob", blob}, {"EncryptionContext", {{"a", "1"}, {"b", "2"}}}});
  ASSERT_EQ(opened.status, 200) << opened.body;
  EXPECT_EQ(decoded(opened.body.at("Plaintext")), "secret");
  EXPECT_EQ(opened.body.at("KeyId"), key);
}

TEST_F(ApiTest, AnotherContextDoesNotDecrypt) {
  auto key = new_key();
  auto blob = encrypt(key, "secret", {{"a", "1"}, {"b", "2"}});
  for (const json& context : {json::object(), json{{"a", "1"}}, json{{"a", "2"}, {"b", "1"}},
                              json{{"a", "1"}, {"b", "2"}, {"c", ""}}, json{{"A", "1"}, {"b", "2"}},
                              json{{"a1", ""}, {"b", "2"}}}) {
    auto made = call(owner_, "Decrypt", {{"CiphertextBlob", blob}, {"EncryptionContext", context}});
    EXPECT_EQ(made.error(), "InvalidCiphertextException") << context;
  }
  auto twice = json{{"CiphertextBlob", blob}, {"EncryptionContext", {{"a", "1"}, {"A", "1"}}}};
  EXPECT_EQ(call(owner_, "Decrypt", twice).error(), "ValidationException");
}

TEST_F(ApiTest, ChangedCiphertextsDoNotDecrypt) {
  auto key = new_key();
  auto blob = codec::from_base64(encrypt(key, "secret")).value();
  for (std::size_t at = 0; at < blob.size(); ++at) {
    auto changed = blob;
    changed[at] ^= 1;
    auto made = call(owner_, "Decrypt", {{"CiphertextBlob", codec::to_base64(changed)}, {"KeyId", key}});
    EXPECT_EQ(made.status, 400) << at;
    bool key_id = at >= 4 && at < 20;
    EXPECT_EQ(made.error(), key_id ? "IncorrectKeyException" : "InvalidCiphertextException") << at;
    auto cut = ByteView(blob).first(at);
    EXPECT_NE(call(owner_, "Decrypt", {{"CiphertextBlob", codec::to_base64(cut)}}).status, 200) << at;
  }
}

TEST_F(ApiTest, AnotherKeyIsIncorrect) {
  auto blob = encrypt(new_key(), "secret");
  EXPECT_EQ(call(owner_, "Decrypt", {{"CiphertextBlob", blob}, {"KeyId", new_key()}}).error(),
            "IncorrectKeyException");
}

TEST_F(ApiTest, UnknownKeysInCiphertextsLookForbidden) {
  auto blob = codec::from_base64(encrypt(new_key(), "secret")).value();
  blob[5] ^= 1;
  EXPECT_EQ(call(owner_, "Decrypt", {{"CiphertextBlob", codec::to_base64(blob)}}).error(),
            "AccessDeniedException");
}

TEST_F(ApiTest, RotationKeepsOldCiphertextsReadable) {
  auto key = new_key();
  auto blob = encrypt(key, "old");
  ASSERT_EQ(call(owner_, "RotateKeyOnDemand", {{"KeyId", key}}).status, 200);
  EXPECT_EQ(decoded(call(owner_, "Decrypt", {{"CiphertextBlob", blob}}).body.at("Plaintext")), "old");
  EXPECT_EQ(decoded(call(owner_, "Decrypt", {{"CiphertextBlob", encrypt(key, "new")}}).body.at("Plaintext")),
            "new");
}

TEST_F(ApiTest, PlaintextLimitHolds) {
  auto key = new_key();
  auto most = encrypt(key, std::string(kMaxPlaintext, 'x'));
  EXPECT_EQ(call(owner_, "Decrypt", {{"CiphertextBlob", most}}).status, 200);
  auto over =
      call(owner_, "Encrypt", {{"KeyId", key}, {"Plaintext", codec::to_base64(Bytes(kMaxPlaintext + 1))}});
  EXPECT_EQ(over.error(), "ValidationException");
  EXPECT_EQ(call(owner_, "Encrypt", {{"KeyId", key}, {"Plaintext", ""}}).error(), "ValidationException");
}

TEST_F(ApiTest, GeneratesDataKeys) {
  auto key = new_key();
  auto made = call(owner_, "GenerateDataKey",
                   {{"KeyId", key}, {"KeySpec", "AES_256"}, {"EncryptionContext", {{"a", "1"}}}});
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(decoded(made.body.at("Plaintext")).size(), 32U);
  auto opened =
      call(owner_, "Decrypt",
           {{"CiphertextBlob", made.body.at("CiphertextBlob")}, {"EncryptionContext", {{"a", "1"}}}});
  EXPECT_EQ(opened.body.at("Plaintext"), made.body.at("Plaintext"));
  auto bare = call(owner_, "GenerateDataKeyWithoutPlaintext", {{"KeyId", key}, {"NumberOfBytes", 64}});
  EXPECT_FALSE(bare.body.contains("Plaintext"));
  EXPECT_EQ(
      decoded(
          call(owner_, "Decrypt", {{"CiphertextBlob", bare.body.at("CiphertextBlob")}}).body.at("Plaintext"))
          .size(),
      64U);
  EXPECT_EQ(call(owner_, "GenerateDataKey", {{"KeyId", key}}).error(), "ValidationException");
  EXPECT_EQ(call(owner_, "GenerateDataKey", {{"KeyId", key}, {"KeySpec", "AES_256"}, {"NumberOfBytes", 32}})
                .error(),
            "ValidationException");
  EXPECT_EQ(call(owner_, "GenerateDataKey", {{"KeyId", key}, {"KeySpec", "AES_512"}}).error(),
            "ValidationException");
}

TEST_F(ApiTest, DisabledKeysDoNothing) {
  auto key = new_key();
  auto blob = encrypt(key, "x");
  ASSERT_EQ(call(owner_, "DisableKey", {{"KeyId", key}}).status, 200);
  EXPECT_EQ(call(owner_, "Decrypt", {{"CiphertextBlob", blob}}).error(), "DisabledException");
  EXPECT_EQ(call(owner_, "GenerateDataKey", {{"KeyId", key}, {"KeySpec", "AES_256"}}).error(),
            "DisabledException");
  ASSERT_EQ(call(owner_, "EnableKey", {{"KeyId", key}}).status, 200);
  EXPECT_EQ(call(owner_, "Decrypt", {{"CiphertextBlob", blob}}).status, 200);
}

TEST_F(ApiTest, DryRunDoesNothing) {
  auto made =
      call(owner_, "GenerateDataKey", {{"KeyId", new_key()}, {"KeySpec", "AES_256"}, {"DryRun", true}});
  EXPECT_EQ(made.status, 400);
  EXPECT_EQ(made.error(), "DryRunOperationException");
}

// --- policies
// -----------------------------------------------------------------------------------------------------------------

TEST_F(ApiTest, WithoutLeaveTheHostMayDoNothing) {
  auto key = new_key();
  auto blob = encrypt(key, "x");
  const std::pair<const char*, json> kTable[] = {
      {"CreateKey", json::object()},
      {"ListKeys", json::object()},
      {"ListAliases", json::object()},
      {"GenerateRandom", {{"NumberOfBytes", 8}}},
      {"DescribeKey", {{"KeyId", key}}},
      {"GetKeyPolicy", {{"KeyId", key}}},
      {"ListKeyPolicies", {{"KeyId", key}}},
      {"PutKeyPolicy", {{"KeyId", key}, {"Policy", iam::default_key_policy("111122223333")}}},
      {"EnableKey", {{"KeyId", key}}},
      {"DisableKey", {{"KeyId", key}}},
      {"RotateKeyOnDemand", {{"KeyId", key}}},
      {"ListResourceTags", {{"KeyId", key}}},
      {"CreateAlias", {{"AliasName", "alias/x"}, {"TargetKeyId", key}}},
      {"Encrypt", {{"KeyId", key}, {"Plaintext", "eA=="}}},
      {"Decrypt", {{"CiphertextBlob", blob}}},
      {"GenerateDataKey", {{"KeyId", key}, {"KeySpec", "AES_256"}}},
      {"GenerateDataKeyWithoutPlaintext", {{"KeyId", key}, {"KeySpec", "AES_256"}}},
  };
  for (const auto& [operation, members] : kTable) {
    EXPECT_EQ(call(host_, operation, members).error(), "AccessDeniedException") << operation;
  }
  auto made = call(host_, "Decrypt", {{"CiphertextBlob", blob}});
  EXPECT_EQ(made.message(),
            "User: arn:aws:sts::111122223333:assumed-role/enclave-host/session is not authorized to perform: "
            "kms:Decrypt on resource: " +
                key + " because no identity-based policy allows the kms:Decrypt action");
}

TEST_F(ApiTest, ContextConditionsDecide) {
  auto key = new_key();
  put_policy(key, {{"Effect", "Allow"},
                   {"Principal", {{"AWS", kHost}}},
                   {"Action", "kms:Decrypt"},
                   {"Resource", "*"},
                   {"Condition", {{"StringEquals", {{"kms:EncryptionContext:release", {"1", "2"}}}}}}});
  auto open = [&](const json& context) {
    return call(host_, "Decrypt",
                {{"CiphertextBlob", encrypt(key, "x", context)}, {"EncryptionContext", context}})
        .error();
  };
  EXPECT_EQ(open({{"release", "2"}}), "");
  EXPECT_EQ(open({{"release", "3"}}), "AccessDeniedException");
  EXPECT_EQ(open(json::object()), "AccessDeniedException");
}

TEST_F(ApiTest, DenyReachesTheOwner) {
  auto key = new_key();
  auto blob = encrypt(key, "x");
  put_policy(key, {{"Effect", "Deny"}, {"Principal", "*"}, {"Action", "kms:Decrypt"}, {"Resource", "*"}});
  auto made = call(owner_, "Decrypt", {{"CiphertextBlob", blob}});
  EXPECT_EQ(made.error(), "AccessDeniedException");
  EXPECT_THAT(made.message(), HasSubstr("with an explicit deny in a resource-based policy"));
}

TEST_F(ApiTest, PoliciesThatLockTheCallerOutNeedABypass) {
  auto key = new_key();
  json statement{
      {"Effect", "Allow"}, {"Principal", {{"AWS", kHost}}}, {"Action", "kms:*"}, {"Resource", "*"}};
  auto policy = json{{"Version", "2012-10-17"}, {"Statement", {statement}}}.dump();
  EXPECT_EQ(call(owner_, "CreateKey", {{"Policy", policy}}).error(), "MalformedPolicyDocumentException");
  json put{{"KeyId", key}, {"Policy", policy}};
  EXPECT_EQ(call(owner_, "PutKeyPolicy", put).error(), "MalformedPolicyDocumentException");
  EXPECT_EQ(call(owner_, "DescribeKey", {{"KeyId", key}}).status, 200);
  put["BypassPolicyLockoutSafetyCheck"] = true;
  EXPECT_EQ(call(owner_, "PutKeyPolicy", put).status, 200);
  EXPECT_EQ(call(owner_, "DescribeKey", {{"KeyId", key}}).error(), "AccessDeniedException");
  EXPECT_EQ(call(host_, "GetKeyPolicy", {{"KeyId", key}}).body.at("Policy"), policy);
}

TEST_F(ApiTest, PrincipalsOfThisAccountMustExist) {
  auto policy = json::parse(iam::default_key_policy("111122223333"));
  policy["Statement"][0]["Principal"] = {{"AWS", {kOwner, "arn:aws:iam::111122223333:user/nobody"}}};
  EXPECT_EQ(call(owner_, "CreateKey", {{"Policy", policy.dump()}}).error(),
            "MalformedPolicyDocumentException");
  policy["Statement"][0]["Principal"] = {{"AWS", {kOwner, "arn:aws:iam::999999999999:user/nobody"}}};
  EXPECT_EQ(call(owner_, "CreateKey", {{"Policy", policy.dump()}}).status, 200);
}

}  // namespace
}  // namespace cloister::emulator
