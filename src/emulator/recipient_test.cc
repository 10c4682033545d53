#include "emulator/recipient.h"

#include <gtest/gtest.h>

#include <fstream>

#include "crypto/cms.h"
#include "emulator/api_fixture.h"
#include "emulator/development_root.h"
#include "emulator/nsm_emulator.h"

namespace cloister::emulator {
namespace {

// ---------------------------------------------------------------------------------------------------------------

class RecipientTest : public ApiTest {
 protected:
  RecipientTest() {
    trust(root_);
    key_ = new_key();
    put_policy(key_, {{"Effect", "Allow"},
                      {"Principal", {{"AWS", kHost}}},
                      {"Action", {"kms:Decrypt", "kms:GenerateDataKey"}},
                      {"Resource", "*"},
                      {"Condition",
                       {{"StringEqualsIgnoreCase",
                         {{"kms:RecipientAttestation:ImageSha384", std::string(96, 'A')},
                          {"kms:RecipientAttestation:PCR1", std::string(96, 'b')}}}}}});
    blob_ = encrypt(key_, "secret");
  }

  // Made once: it takes longer than all the rest.
  static const crypto::PrivateKey& rsa() {
    static const crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyType::rsa2048).value();
    return key;
  }
  void trust(const DevelopmentRoot& root) const {
    std::ofstream(directory_ + "/root.pem") << root.certificate.pem();
  }
  static std::map<unsigned, attestation::Pcr> pcrs(std::uint8_t first) {
    return {{0, Bytes(48, first)}, {1, Bytes(48, 0xBB)}, {2, Bytes(48, 0xCC)}};
  }
  Bytes document(const std::map<unsigned, attestation::Pcr>& measured, std::optional<Bytes> public_key,
                 sys::UnixMillis at = kNow) const {
    return document(root_, measured, std::move(public_key), at);
  }
  static Bytes document(const DevelopmentRoot& root, const std::map<unsigned, attestation::Pcr>& measured,
                        std::optional<Bytes> public_key, sys::UnixMillis at) {
    sys::FixedClock clock(at);
    auto device = EmulatedNsm::create(root, "i-0123456789abcdef0-enc0123456789abcdef", measured, clock);
    EXPECT_TRUE(device) << device.error().message();
    auto made = attestation::Nsm(**device).attest(
        {.user_data = {}, .nonce = {}, .public_key = std::move(public_key)});
    EXPECT_TRUE(made) << made.error().message();
    return made.value_or(Bytes{});
  }
  Answer decrypt_for(ByteView cbor) const {
    return call(host_, "Decrypt",
                {{"CiphertextBlob", blob_},
                 {"KeyId", key_},
                 {"Recipient",
                  {{"KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_256"},
                   {"AttestationDocument", codec::to_base64(cbor)}}}});
  }
  std::string open(const json& envelope) const {
    auto ber = codec::from_base64(envelope.get<std::string>()).value();
    auto parsed = crypto::EnvelopedData::parse(ber);
    EXPECT_TRUE(parsed) << parsed.error().message();
    auto opened = crypto::open_envelope(*parsed, rsa());
    EXPECT_TRUE(opened);
    return std::string(as_text(opened->view()));
  }

  DevelopmentRoot root_ = DevelopmentRoot::generate(kNow - 1000).value();
  Bytes spki_ = rsa().public_key().spki();
  std::string key_;
  std::string blob_;
};

TEST_F(RecipientTest, TheRightImageGetsAnEnvelopeAndNoPlaintext) {
  auto made = decrypt_for(document(pcrs(0xAA), spki_));
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_FALSE(made.body.contains("Plaintext"));
  EXPECT_EQ(made.body.at("KeyId"), key_);
  EXPECT_EQ(open(made.body.at("CiphertextForRecipient")), "secret");
}

TEST_F(RecipientTest, DataKeysComeInEnvelopesToo) {
  auto cbor = codec::to_base64(document(pcrs(0xAA), spki_));
  json recipient{{"KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_256"}, {"AttestationDocument", cbor}};
  auto made =
      call(host_, "GenerateDataKey", {{"KeyId", key_}, {"KeySpec", "AES_256"}, {"Recipient", recipient}});
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_FALSE(made.body.contains("Plaintext"));
  auto plain = call(owner_, "Decrypt", {{"CiphertextBlob", made.body.at("CiphertextBlob")}});
  EXPECT_EQ(open(made.body.at("CiphertextForRecipient")), decoded(plain.body.at("Plaintext")));
}

TEST_F(RecipientTest, WithoutADocumentOrWithAnotherImageItIsDenied) {
  EXPECT_EQ(call(host_, "Decrypt", {{"CiphertextBlob", blob_}}).error(), "AccessDeniedException");
  EXPECT_EQ(decrypt_for(document(pcrs(0xAB), spki_)).error(), "AccessDeniedException");
}

// A policy that pins zeros, by mistake or by a debug build's measurements, lets nobody in.
TEST_F(RecipientTest, DebugModeMatchesNoCondition) {
  put_policy(key_, {{"Effect", "Allow"},
                    {"Principal", {{"AWS", kHost}}},
                    {"Action", "kms:Decrypt"},
                    {"Resource", "*"},
                    {"Condition", {{"StringLike", {{"kms:RecipientAttestation:ImageSha384", "*"}}}}}});
  EXPECT_EQ(decrypt_for(document(pcrs(0xAB), spki_)).status, 200);
  std::map<unsigned, attestation::Pcr> zeros{{0, Bytes(48, 0)}, {1, Bytes(48, 0)}, {2, Bytes(48, 0)}};
  EXPECT_EQ(decrypt_for(document(zeros, spki_)).error(), "AccessDeniedException");
}

TEST_F(RecipientTest, DocumentsOfOtherRootsAreRefused) {
  auto other = DevelopmentRoot::generate(kNow - 1000).value();
  auto cbor = document(other, pcrs(0xAA), spki_, kNow);
  EXPECT_EQ(decrypt_for(cbor).error(), "ValidationException");
  // The file is read at each use.
  trust(other);
  EXPECT_EQ(decrypt_for(cbor).status, 200);
  std::filesystem::remove(directory_ + "/root.pem");
  EXPECT_EQ(decrypt_for(cbor).error(), "ValidationException");
}

TEST_F(RecipientTest, OldAndFutureDocumentsAreRefused) {
  EXPECT_EQ(decrypt_for(document(pcrs(0xAA), spki_, kNow - kMaxAttestationAge - 1)).error(),
            "ValidationException");
  auto future = decrypt_for(document(pcrs(0xAA), spki_, kNow + kMaxAttestationAge + 1));
  EXPECT_EQ(future.error(), "ValidationException");
}

TEST_F(RecipientTest, ChangedDocumentsAreRefused) {
  auto cbor = document(pcrs(0xAA), spki_);
  for (std::size_t at = 0; at < cbor.size(); at += 97) {
    auto changed = cbor;
    changed[at] ^= 1;
    EXPECT_EQ(decrypt_for(changed).error(), "ValidationException") << at;
    EXPECT_EQ(decrypt_for(ByteView(cbor).first(at)).error(), "ValidationException") << at;
  }
}

TEST_F(RecipientTest, OnlyRsaKeysReceive) {
  EXPECT_EQ(decrypt_for(document(pcrs(0xAA), {})).error(), "ValidationException");
  EXPECT_EQ(decrypt_for(document(pcrs(0xAA), Bytes(32, 1))).error(), "ValidationException");
  auto p384 = crypto::PrivateKey::generate(crypto::KeyType::p384).value();
  EXPECT_EQ(decrypt_for(document(pcrs(0xAA), p384.public_key().spki())).error(), "ValidationException");
}

TEST_F(RecipientTest, OtherAlgorithmsAreRefused) {
  json recipient{{"KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_1"},
                 {"AttestationDocument", codec::to_base64(document(pcrs(0xAA), spki_))}};
  EXPECT_EQ(call(host_, "Decrypt", {{"CiphertextBlob", blob_}, {"Recipient", recipient}}).error(),
            "ValidationException");
  recipient.erase("KeyEncryptionAlgorithm");
  EXPECT_EQ(call(host_, "Decrypt", {{"CiphertextBlob", blob_}, {"Recipient", recipient}}).error(),
            "ValidationException");
}

}  // namespace
}  // namespace cloister::emulator
