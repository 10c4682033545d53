#include "kms/messages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "http/json.h"
#include "kms/service_error.h"

namespace cloister::kms {
namespace {

const std::string kKey = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

template <class Message>
void expect_refused(ErrorKind kind, std::initializer_list<std::string> bodies) {
  for (const auto& body : bodies) {
    auto parsed = Message::parse(body);
    ASSERT_FALSE(parsed) << body.substr(0, 200);
    EXPECT_EQ(parsed.error().kind(), kind) << body.substr(0, 200);
  }
}

std::string repeated(std::size_t count) {
  return std::string(count, 'A');
}

TEST(Messages, DecryptRequestBothWays) {
  DecryptRequest request;
  request.key_id = kKey;
  request.ciphertext = to_bytes("blob");
  request.context = {{"cloister:name", "ocr"}, {std::string("a\0b", 3), "é\"\\"}};
  request.recipient.emplace().attestation_document = to_bytes("document");
  auto body = request.encode();
  EXPECT_EQ(
      body,
      R"({"CiphertextBlob":"YmxvYg==","EncryptionAlgorithm":"SYMMETRIC_DEFAULT","EncryptionContext":)"
      R"({"a\u0000b":"é\"\\","cloister:name":"ocr"},"KeyId":")" +
          JsonString(kKey) +
          R"(","Recipient":{"AttestationDocument":"ZG9jdW1lbnQ=","KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256"}})");
  auto parsed = DecryptRequest::parse(body);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->key_id, kKey);
  EXPECT_EQ(parsed->ciphertext, request.ciphertext);
  EXPECT_EQ(parsed->context, request.context);
  EXPECT_EQ(parsed->recipient->attestation_document, to_bytes("document"));
}

TEST(Messages, DecryptRequestRefusals) {
  expect_refused<DecryptRequest>(
      ErrorKind::invalid,
      {"",
       "[]",
       "null",
       "{}",
       R"({"CiphertextBlob":""})",
       R"({"CiphertextBlob":"YQ"})",
       R"({"CiphertextBlob":"Y Q="})",
       R"({"CiphertextBlob":7})",
       R"({"CiphertextBlob":["YQ=="]})",
       R"({"CiphertextBlob":"YQ==","CiphertextBlob":"Yg=="})",
       R"({"CiphertextBlob":"YQ==","KeyId":""})",
       R"({"CiphertextBlob":"YQ==","KeyId":{}})",
       R"({"CiphertextBlob":"YQ==","EncryptionContext":"x"})",
       R"({"CiphertextBlob":"YQ==","EncryptionContext":{"a":1}})",
       R"({"CiphertextBlob":"YQ==","EncryptionContext":{"":"x"}})",
       R"({"CiphertextBlob":"YQ==","EncryptionContext":{"a":")" + repeated(kMaxContextBytes) + R"("}})",
       R"({"CiphertextBlob":"YQ==","Recipient":"x"})",
       R"({"CiphertextBlob":"YQ==","Recipient":{}})",
       R"({"CiphertextBlob":"YQ==","Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_1","AttestationDocument":"YQ=="}})",
       R"({"CiphertextBlob":"YQ==","Recipient":{"KeyEncryptionAlgorithm":"RSAES_OAEP_SHA_256","AttestationDocument":""}})",
       R"({"CiphertextBlob":")" + repeated(8196) + R"("})"});
}

TEST(Messages, DecryptResponseBothWays) {
  DecryptResponse response;
  response.key_id = kKey;
  response.plaintext = Secret(as_bytes("thirty-two bytes of a data key!!"));
  auto parsed = DecryptResponse::parse(response.encode());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(as_text(parsed->plaintext.view()), "thirty-two bytes of a data key!!");
  EXPECT_TRUE(parsed->ciphertext_for_recipient.empty());
  // AWS: with a recipient "the Plaintext field in the response is null or empty".
  for (const char* absent : {"", R"("Plaintext":null,)", R"("Plaintext":"",)"}) {
    parsed = DecryptResponse::parse(R"({"KeyId":"k",)" + std::string(absent) +
                                    R"("CiphertextForRecipient":"YQ==","Later":[{}]})");
    ASSERT_TRUE(parsed) << absent;
    EXPECT_TRUE(parsed->plaintext.empty());
    EXPECT_EQ(parsed->ciphertext_for_recipient, to_bytes("a"));
  }
}

TEST(Messages, DecryptResponseRefusals) {
  expect_refused<DecryptResponse>(
      ErrorKind::corrupt,
      {"", "{}", "<html>", R"({"KeyId":1})", R"({"KeyId":"k","Plaintext":false})",
       R"({"KeyId":"k","Plaintext":"?"})", R"({"KeyId":"k","Plaintext":")" + repeated(5468) + R"("})",
       R"({"KeyId":"k","CiphertextForRecipient":{}})",
       R"({"KeyId":"k","CiphertextForRecipient":")" + repeated(8196) + R"("})",
       R"({"KeyId":"k","KeyId":"l"})", R"({"KeyId":")" + repeated(kMaxKeyIdBytes + 1) + R"("})"});
}

TEST(Messages, GenerateDataKeyBothWays) {
  GenerateDataKeyRequest request;
  request.key_id = "alias/mine";
  EXPECT_EQ(request.encode(), R"({"KeyId":"alias/mine","KeySpec":"AES_256"})");
  request.bytes = 64;
  EXPECT_EQ(GenerateDataKeyRequest::parse(request.encode())->bytes, 64U);
  EXPECT_EQ(GenerateDataKeyRequest::parse(R"({"KeyId":"k","KeySpec":"AES_128"})")->bytes, 16U);
  expect_refused<GenerateDataKeyRequest>(
      ErrorKind::invalid,
      {R"({"KeyId":"k"})", R"({"KeySpec":"AES_256"})", R"({"KeyId":"k","KeySpec":"AES_512"})",
       R"({"KeyId":"k","KeySpec":"AES_256","NumberOfBytes":32})", R"({"KeyId":"k","NumberOfBytes":0})",
       R"({"KeyId":"k","NumberOfBytes":1025})", R"({"KeyId":"k","NumberOfBytes":-1})",
       R"({"KeyId":"k","NumberOfBytes":32.0})", R"({"KeyId":"k","NumberOfBytes":"32"})"});
  GenerateDataKeyResponse response;
  response.key_id = kKey;
  response.ciphertext = to_bytes("c");
  response.ciphertext_for_recipient = to_bytes("r");
  auto parsed = GenerateDataKeyResponse::parse(response.encode());
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->plaintext.empty());
  EXPECT_EQ(parsed->ciphertext_for_recipient, to_bytes("r"));
  expect_refused<GenerateDataKeyResponse>(ErrorKind::corrupt,
                                          {R"({"KeyId":"k"})", R"({"CiphertextBlob":"YQ=="})"});
}

TEST(Messages, EncryptBothWays) {
  EncryptRequest request;
  request.key_id = kKey;
  request.plaintext = Secret(as_bytes("p"));
  auto parsed = EncryptRequest::parse(request.encode());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(as_text(parsed->plaintext.view()), "p");
  EXPECT_EQ(parsed->algorithm, "SYMMETRIC_DEFAULT");
  expect_refused<EncryptRequest>(ErrorKind::invalid,
                                 {R"({"KeyId":"k"})", R"({"KeyId":"k","Plaintext":""})",
                                  R"({"KeyId":"k","Plaintext":")" + repeated(5468) + R"("})"});
  EncryptResponse response{kKey, to_bytes("c")};
  EXPECT_EQ(EncryptResponse::parse(response.encode())->ciphertext, to_bytes("c"));
}

TEST(Messages, KeysBothWays) {
  CreateKeyRequest create;
  create.policy = R"({"Version":"2012-10-17"})";
  create.description = "d";
  create.bypass_lockout_check = true;
  auto created = CreateKeyRequest::parse(create.encode());
  ASSERT_TRUE(created);
  EXPECT_EQ(created->policy, create.policy);
  EXPECT_TRUE(created->bypass_lockout_check);
  EXPECT_EQ(CreateKeyRequest::parse("{}")->key_spec, "SYMMETRIC_DEFAULT");
  EXPECT_EQ(CreateKeyRequest::parse(R"({"CustomerMasterKeySpec":"RSA_2048"})")->key_spec, "RSA_2048");
  expect_refused<CreateKeyRequest>(
      ErrorKind::invalid,
      {R"({"Policy":""})", R"({"Policy":{}})", R"({"BypassPolicyLockoutSafetyCheck":"true"})",
       R"({"Policy":")" + repeated(kMaxPolicyBytes + 1) + R"("})"});

  KeyMetadata key;
  key.key_id = "1234";
  key.arn = kKey;
  key.account = "111122223333";
  key.creation_date = 1.5;
  key.enabled = false;
  key.key_state = "PendingDeletion";
  key.deletion_date = 1700000000;
  auto described = KeyMetadata::parse(key.encode());
  ASSERT_TRUE(described);
  EXPECT_EQ(described->arn, kKey);
  EXPECT_EQ(described->creation_date, 1.5);
  EXPECT_FALSE(described->enabled);
  EXPECT_EQ(described->deletion_date, 1700000000);
  key.multi_region = true;
  key.primary_region = "eu-west-1";
  key.replica_regions = {"eu-central-1", "us-east-1"};
  described = KeyMetadata::parse(key.encode());
  ASSERT_TRUE(described);
  EXPECT_EQ(described->primary_region, "eu-west-1");
  EXPECT_EQ(described->replica_regions, key.replica_regions);
  auto sparse = KeyMetadata::parse(R"({"KeyMetadata":{"KeyId":"k","Arn":"a"}})");
  ASSERT_TRUE(sparse);
  EXPECT_FALSE(sparse->enabled);  // what nobody says is enabled is not
  EXPECT_TRUE(KeyMetadata::parse(sparse->encode()));
  expect_refused<KeyMetadata>(ErrorKind::corrupt,
                              {"{}", R"({"KeyMetadata":[]})", R"({"KeyMetadata":{"KeyId":"k"}})",
                               R"({"KeyMetadata":{"KeyId":"k","Arn":"a","CreationDate":"now"}})",
                               R"({"KeyMetadata":{"KeyId":"k","Arn":"a","MultiRegionConfiguration":[]}})",
                               R"({"KeyMetadata":{"KeyId":"k","Arn":"a",)"
                               R"("MultiRegionConfiguration":{"ReplicaKeys":[{"Arn":"b"}]}}})"});
}

TEST(Messages, ListsBothWays) {
  ListKeysResponse keys{{{"a", "arn-a"}, {"b", "arn-b"}}, "next"};
  auto parsed = ListKeysResponse::parse(keys.encode());
  ASSERT_TRUE(parsed);
  ASSERT_EQ(parsed->keys.size(), 2U);
  EXPECT_EQ(parsed->keys[1].arn, "arn-b");
  EXPECT_EQ(parsed->next_marker, "next");
  EXPECT_EQ(ListKeysResponse::parse(R"({"Keys":[],"Truncated":false,"NextMarker":"x"})")->next_marker, "");
  std::string many = R"({"Keys":[)";
  for (int i = 0; i < 1001; ++i) many += R"({"KeyId":"a","KeyArn":"b"},)";
  many.back() = ']';
  expect_refused<ListKeysResponse>(ErrorKind::corrupt,
                                   {R"({"Keys":{}})", R"({"Keys":["a"]})", R"({"Keys":[{"KeyId":"a"}]})",
                                    R"({"Keys":[],"Truncated":true})", many + "}"});
  ListAliasesResponse aliases{{{"alias/a", "arn", "id"}, {"alias/aws/s3", "arn", ""}}, ""};
  auto listed = ListAliasesResponse::parse(aliases.encode());
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->aliases[0].target_key_id, "id");
  EXPECT_EQ(listed->aliases[1].target_key_id, "");
  ListRequest request{"k", 5, "m"};
  auto asked = ListRequest::parse(request.encode());
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->limit, 5U);
  EXPECT_EQ(asked->marker, "m");
  EXPECT_EQ(ListRequest::parse("{}")->limit, 100U);
  expect_refused<ListRequest>(ErrorKind::invalid,
                              {R"({"Limit":0})", R"({"Limit":1001})", R"({"Marker":""})"});
}

TEST(Messages, PoliciesAndAliasesBothWays) {
  PutKeyPolicyRequest put{"k", "default", "{\"a\":1}", false};
  auto parsed = PutKeyPolicyRequest::parse(put.encode());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->policy, put.policy);
  EXPECT_FALSE(parsed->bypass_lockout_check);
  expect_refused<PutKeyPolicyRequest>(ErrorKind::invalid, {R"({"KeyId":"k"})", R"({"Policy":"p"})"});
  EXPECT_EQ(GetKeyPolicyRequest::parse(GetKeyPolicyRequest{"k", "default"}.encode())->policy_name, "default");
  EXPECT_EQ(GetKeyPolicyResponse::parse(GetKeyPolicyResponse{"{}"}.encode())->policy, "{}");
  EXPECT_EQ(CreateAliasRequest::parse(CreateAliasRequest{"alias/a", "k"}.encode())->target_key_id, "k");
  expect_refused<CreateAliasRequest>(ErrorKind::invalid, {R"({"AliasName":"alias/a"})"});
  EXPECT_EQ(KeyIdRequest::parse(KeyIdRequest{"k"}.encode())->key_id, "k");
}

TEST(ServiceError, BothWays) {
  ServiceError error{.status = 400, .type = "NotFoundException", .message = "Key 'x' does not exist"};
  auto parsed = ServiceError::parse(error.encode());
  EXPECT_EQ(parsed.type, error.type);
  EXPECT_EQ(parsed.message, error.message);
  EXPECT_EQ(parsed.to_error("KMS Decrypt").kind(), ErrorKind::not_found);
  EXPECT_EQ(parsed.to_error("KMS Decrypt").message(),
            "KMS Decrypt: NotFoundException: Key 'x' does not exist");
}

TEST(ServiceError, MeansSomething) {
  auto kind = [](int status, std::string type) {
    return ServiceError{.status = status, .type = std::move(type), .message = {}}.to_error("op").kind();
  };
  EXPECT_EQ(kind(400, "AccessDeniedException"), ErrorKind::denied);
  EXPECT_EQ(kind(400, "DisabledException"), ErrorKind::denied);
  EXPECT_EQ(kind(400, "ThrottlingException"), ErrorKind::unavailable);
  EXPECT_EQ(kind(500, "KMSInternalException"), ErrorKind::unavailable);
  EXPECT_EQ(kind(400, "ValidationException"), ErrorKind::invalid);
  EXPECT_EQ(kind(400, "InvalidCiphertextException"), ErrorKind::corrupt);
  EXPECT_EQ(kind(400, "ExpiredTokenException"), ErrorKind::denied);
  EXPECT_EQ(kind(403, ""), ErrorKind::denied);
  EXPECT_EQ(kind(503, ""), ErrorKind::unavailable);
  EXPECT_EQ(kind(302, ""), ErrorKind::corrupt);
  ServiceError unrecognised{.status = 400, .type = "UnrecognizedClientException", .message = {}};
  EXPECT_FALSE(unrecognised.to_error("op").hint().empty());
  EXPECT_FALSE(unrecognised.may_be_clock_skew());
}

TEST(ServiceError, TrustsNoText) {
  auto parse = [](std::string body) {
    return ServiceError::parse({.status = 400, .fields = {}, .body = std::move(body)});
  };
  EXPECT_EQ(parse(R"({"__type":"com.amazonaws.kms#NotFoundException:http://x"})").type, "NotFoundException");
  EXPECT_EQ(parse(R"({"__type":"Evil\u001b[2J"})").type, "");
  EXPECT_EQ(parse(R"({"__type":"x","Message":"a\u001b[2Jb\n"})").message, "a\\x1b[2Jb\\x0a");
  EXPECT_EQ(parse(R"({"__type":7,"message":[]})").message, "");
  EXPECT_EQ(parse("<html>").type, "");
  EXPECT_LE(parse(R"({"message":")" + std::string(50000, 'x') + "\"}").message.size(), 1024U);
}

}  // namespace
}  // namespace cloister::kms
