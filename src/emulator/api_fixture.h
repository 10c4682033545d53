// For the tests of the API: a store with two principals, an Api over it, and signed requests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "codec/base64.h"
#include "crypto/digest.h"
#include "emulator/api.h"
#include "iam/policy.h"
#include "kms/sigv4.h"

namespace cloister::emulator {

using nlohmann::json;

inline constexpr sys::UnixMillis kNow = 1'800'000'000'000;
inline constexpr const char* kOwner = "arn:aws:iam::111122223333:user/owner";
inline constexpr const char* kHost = "arn:aws:iam::111122223333:role/enclave-host";
inline constexpr const char* kHostSession = "arn:aws:sts::111122223333:assumed-role/enclave-host/session";
inline constexpr const char* kAllowAll =
    R"({"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}})";

struct Answer {
  int status = 0;
  json body;
  std::string error() const { return body.is_object() ? body.value("__type", "") : ""; }
  std::string message() const { return body.value("message", ""); }
};

class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    std::string pattern = testing::TempDir() + "api-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    store_ = Store::create(directory_ + "/kms.db", crypto::random_secret(32), Settings{}).value();
    EXPECT_TRUE(store_->add_principal({kOwner, kOwner, "111122223333", kAllowAll, {}}));
    EXPECT_TRUE(store_->add_principal({kHost, kHostSession, "111122223333", {}, {}}));
    owner_ = credentials(kOwner);
    host_ = credentials(kHost);
    roots_ = TrustedRoots({directory_ + "/root.pem"});
    api_ = std::make_unique<Api>(*store_, roots_);
  }
  ~ApiTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  kms::Credentials credentials(const char* principal) {
    auto key = store_->create_access_key(principal, kNow).value();
    return {key.id, std::move(key.secret), {}};
  }

  static http::Request request(const std::string& operation, const json& members) {
    http::Request out;
    out.method = "POST";
    out.fields.set("Host", "localhost");
    out.fields.set("Content-Type", kJsonContentType);
    out.fields.set("X-Amz-Target", "TrentService." + operation);
    out.body = members.dump();
    return out;
  }

  Answer send(const http::Request& made, sys::UnixMillis now = kNow) const {
    auto response = api_->handle(made, Peer{"127.0.0.1", true}, now);
    EXPECT_EQ(response.fields.get("x-amzn-RequestId").size(), 36U);
    return {response.status, response.body.empty() ? json::object() : json::parse(response.body)};
  }
  Answer call(const kms::Credentials& who, const std::string& operation, const json& members) const {
    auto made = request(operation, members);
    EXPECT_TRUE(kms::sign(made, who, "us-east-1", "kms", kNow));
    return send(made);
  }

  json create_key(const json& members = json::object()) const {
    auto made = call(owner_, "CreateKey", members);
    EXPECT_EQ(made.status, 200) << made.body;
    return made.body.at("KeyMetadata");
  }
  std::string new_key() const { return create_key().at("Arn"); }
  // Beside the owner's full rights, one more statement.
  void put_policy(const std::string& key, const json& statement) const {
    auto policy = json::parse(iam::default_key_policy("111122223333"));
    policy["Statement"].push_back(statement);
    auto put = call(owner_, "PutKeyPolicy", {{"KeyId", key}, {"Policy", policy.dump()}});
    ASSERT_EQ(put.status, 200) << put.body;
  }
  std::string encrypt(const std::string& key, const std::string& plaintext,
                      const json& context = json::object()) const {
    auto made = call(owner_, "Encrypt",
                     {{"KeyId", key},
                      {"Plaintext", codec::to_base64(as_bytes(plaintext))},
                      {"EncryptionContext", context}});
    EXPECT_EQ(made.status, 200) << made.body;
    return made.body.at("CiphertextBlob");
  }

  std::string directory_;
  std::unique_ptr<Store> store_;
  kms::Credentials owner_;
  kms::Credentials host_;
  TrustedRoots roots_;
  std::unique_ptr<Api> api_;
};

inline std::string decoded(const json& base64) {
  return std::string(as_text(codec::from_base64(base64.get<std::string>()).value()));
}

}  // namespace cloister::emulator
