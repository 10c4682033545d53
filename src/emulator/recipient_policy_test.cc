// The two statements that the sample's documentation tells owners to add to their key's policy, and what
// follows from them for the host and for enclaves.
#include <gmock/gmock.h>

#include <fstream>

#include "crypto/cms.h"
#include "emulator/api_fixture.h"
#include "emulator/development_root.h"
#include "emulator/nsm_emulator.h"

namespace cloister::emulator {
namespace {

using testing::HasSubstr;

constexpr const char* kInstance = "arn:aws:iam::111122223333:role/instance";
constexpr const char* kInstanceSession =
    "arn:aws:sts::111122223333:assumed-role/instance/i-0123456789abcdef0";
constexpr std::uint8_t kImage = 0xAB;

class SamplePolicyTest : public ApiTest {
 protected:
  SamplePolicyTest() {
    std::ofstream(directory_ + "/root.pem") << root_.certificate.pem();
    // The administrator grants the host kms:Decrypt in IAM.
    EXPECT_TRUE(store_->add_principal({kInstance, kInstanceSession, "111122223333", kAllowAll, {}}));
    instance_ = credentials(kInstance);
    key_ = new_key();
    blob_ = encrypt(key_, "secret");
    put({"StringNotEqualsIgnoreCase", "kms:RecipientAttestation:ImageSha384", std::string(96, 'x')});
  }

  struct Unless {
    const char* comparison;
    const char* key;
    std::string value;
  };
  void put(const Unless& unless) {
    json policy{{"Version", "2012-10-17"},
                {"Statement",
                 {{{"Effect", "Allow"},
                   {"Principal", {{"AWS", "arn:aws:iam::111122223333:root"}}},
                   {"Action", "kms:*"},
                   {"Resource", "*"}},
                  {{"Effect", "Deny"},
                   {"Principal", {{"AWS", "arn:aws:iam::111122223333:root"}}},
                   {"Action", "kms:Decrypt"},
                   {"Resource", "*"},
                   {"Condition", {{unless.comparison, {{unless.key, unless.value}}}}}}}}};
    auto made = call(owner_, "PutKeyPolicy", {{"KeyId", key_}, {"Policy", policy.dump()}});
    ASSERT_EQ(made.status, 200) << made.body;
  }
  // As the owner copies the hash: in capitals here, since the sample's statement does not mind.
  void pin_image() {
    put({"StringNotEqualsIgnoreCase", "kms:RecipientAttestation:ImageSha384", image_hash("AB")});
  }
  static std::string image_hash(const std::string& byte) {
    std::string out;
    for (int i = 0; i < 48; ++i) out += byte;
    return out;
  }

  static const crypto::PrivateKey& rsa() {
    static const crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyType::rsa2048).value();
    return key;
  }
  // Decrypt with the document of an enclave whose PCR0…2 hold this byte.
  Answer decrypt_in(std::uint8_t measured) {
    std::map<unsigned, attestation::Pcr> pcrs;
    for (unsigned i = 0; i < 3; ++i) pcrs[i] = Bytes(48, measured);
    sys::FixedClock clock(kNow);
    auto device = EmulatedNsm::create(root_, "i-0123456789abcdef0-enc0123456789abcdef", pcrs, clock);
    EXPECT_TRUE(device);
    auto document = attestation::Nsm(**device).attest(
        {.user_data = {}, .nonce = {}, .public_key = rsa().public_key().spki()});
    EXPECT_TRUE(document);
    return call(instance_, "Decrypt",
                {{"CiphertextBlob", blob_},
                 {"Recipient",
                  {{"KeyEncryptionAlgorithm", "RSAES_OAEP_SHA_256"},
                   {"AttestationDocument", codec::to_base64(document.value_or(Bytes{}))}}}});
  }

  DevelopmentRoot root_ = DevelopmentRoot::generate(kNow - 1000).value();
  kms::Credentials instance_;
  std::string key_;
  std::string blob_;
};

TEST_F(SamplePolicyTest, TheHostByHandIsDeniedExplicitly) {
  pin_image();
  auto made = call(instance_, "Decrypt", {{"CiphertextBlob", blob_}});
  EXPECT_EQ(made.status, 400);
  EXPECT_EQ(made.error(), "AccessDeniedException");
  EXPECT_EQ(made.message(), std::string("User: ") + kInstanceSession +
                                " is not authorized to perform: kms:Decrypt on resource: " + key_ +
                                " with an explicit deny in a resource-based policy");
  // So is the owner: the account is denied, and everyone in it.
  EXPECT_THAT(call(owner_, "Decrypt", {{"CiphertextBlob", blob_}}).message(), HasSubstr("explicit deny"));
}

TEST_F(SamplePolicyTest, TheRightImageGetsTheEnvelopeOnly) {
  pin_image();
  auto made = decrypt_in(kImage);
  ASSERT_EQ(made.status, 200) << made.body;
  EXPECT_FALSE(made.body.contains("Plaintext"));
  auto ber = codec::from_base64(made.body.at("CiphertextForRecipient").get<std::string>()).value();
  auto opened = crypto::open_envelope(crypto::EnvelopedData::parse(ber).value(), rsa());
  ASSERT_TRUE(opened);
  EXPECT_EQ(as_text(opened->view()), "secret");
}

TEST_F(SamplePolicyTest, OtherImagesAndDebugModeAreDenied) {
  pin_image();
  EXPECT_THAT(decrypt_in(kImage + 1).message(), HasSubstr("explicit deny"));
  EXPECT_THAT(decrypt_in(0).message(), HasSubstr("explicit deny"));
}

TEST_F(SamplePolicyTest, DebugModeIsDeniedWhateverIsPinned) {
  for (const Unless& unless : {
           Unless{"StringNotEquals", "kms:RecipientAttestation:ImageSha384", std::string(96, '0')},
           Unless{"StringNotEquals", "kms:RecipientAttestation:PCR0", std::string(96, '0')},
           Unless{"StringNotLike", "kms:RecipientAttestation:PCR1", "*"},
           Unless{"Null", "kms:RecipientAttestation:ImageSha384", "true"},
       }) {
    put(unless);
    EXPECT_THAT(decrypt_in(0).message(), HasSubstr("explicit deny")) << unless.comparison << unless.value;
  }
}

// What a document is for must be said with a negated operator: a Deny of listed images lets the host in.
TEST_F(SamplePolicyTest, ADenyOfListedImagesDoesNotAskForADocument) {
  put({"StringEquals", "kms:RecipientAttestation:ImageSha384", image_hash("ac")});
  EXPECT_EQ(decrypt_in(0xAC).error(), "AccessDeniedException");
  EXPECT_EQ(decrypt_in(kImage).status, 200);
  EXPECT_EQ(call(instance_, "Decrypt", {{"CiphertextBlob", blob_}}).status, 200);
}

}  // namespace
}  // namespace cloister::emulator
