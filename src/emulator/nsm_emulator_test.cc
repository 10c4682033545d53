#include "emulator/nsm_emulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "attestation/document.h"
#include "crypto/digest.h"

namespace cloister::emulator {
namespace {

using attestation::kMaxNonce;
using attestation::kMaxPublicKey;
using attestation::kMaxUserData;
using ::testing::HasSubstr;

constexpr sys::UnixMillis kNow = 1700000000000;
constexpr sys::UnixMillis kMinute = 60 * 1000;
constexpr sys::UnixMillis kHour = 60 * kMinute;

Bytes sha384_of(const Bytes& data) {
  auto digest = crypto::sha384(data);
  return {digest.begin(), digest.end()};
}

class EmulatedNsmTest : public ::testing::Test {
 protected:
  Result<attestation::Document> verified(ByteView document) const {
    return attestation::verify(document, root_.certificate, clock_.now());
  }
  attestation::Document attested(const attestation::AttestationRequest& request = {}) {
    auto document = verified(nsm_.attest(request).value());
    EXPECT_TRUE(document.has_value()) << document.error().message();
    return document.value();
  }
  template <class T>
  void expect_refused(const Result<T>& result, ErrorKind kind, std::string_view name) {
    ASSERT_FALSE(result.has_value()) << name;
    EXPECT_EQ(result.error().kind(), kind) << name;
    EXPECT_THAT(result.error().message(), HasSubstr(std::string(name)));
  }

  sys::FixedClock clock_{kNow};
  DevelopmentRoot root_ = DevelopmentRoot::generate(kNow).value();
  std::unique_ptr<EmulatedNsm> device_ =
      EmulatedNsm::create(root_, "i-0-enc0", {{0, Bytes(48, 1)}, {3, Bytes(48, 3)}}, clock_).value();
  attestation::Nsm nsm_{*device_};
};

TEST_F(EmulatedNsmTest, DocumentsVerifyUnderTheDevelopmentRoot) {
  auto document = attested({.user_data = Bytes(512, 1), .nonce = Bytes(32, 2), .public_key = Bytes(294, 3)});
  EXPECT_EQ(document.module_id, "i-0-enc0");
  EXPECT_EQ(document.digest, "SHA384");
  EXPECT_EQ(document.timestamp, kNow);
  EXPECT_EQ(document.user_data, Bytes(512, 1));
  EXPECT_EQ(document.nonce, Bytes(32, 2));
  EXPECT_EQ(document.public_key, Bytes(294, 3));
  EXPECT_EQ(document.cabundle.size(), 4U);
  EXPECT_EQ(document.cabundle.front(), root_.certificate.der());
}

TEST_F(EmulatedNsmTest, DocumentsDoNotVerifyUnderTheAwsRootNorAnotherDevelopmentRoot) {
  auto bytes = nsm_.attest({}).value();
  ASSERT_TRUE(verified(bytes).has_value());
  expect_refused(attestation::verify(bytes, attestation::aws_nitro_root(), kNow), ErrorKind::denied, "root");
  auto other = DevelopmentRoot::generate(kNow).value();
  expect_refused(attestation::verify(bytes, other.certificate, kNow), ErrorKind::denied, "root");
}

TEST_F(EmulatedNsmTest, DocumentsCarryAbsentFieldsAsAbsent) {
  auto document = attested();
  EXPECT_FALSE(document.user_data || document.nonce || document.public_key);
}

TEST_F(EmulatedNsmTest, RefusesFieldsThatADocumentCannotCarry) {
  EXPECT_TRUE(nsm_.attest({.user_data = Bytes(kMaxUserData),
                           .nonce = Bytes(kMaxNonce),
                           .public_key = Bytes(kMaxPublicKey)})
                  .has_value());
  expect_refused(nsm_.attest({.user_data = Bytes(kMaxUserData + 1)}), ErrorKind::invalid, "InputTooLarge");
  expect_refused(nsm_.attest({.nonce = Bytes(kMaxNonce + 1)}), ErrorKind::invalid, "InputTooLarge");
  expect_refused(nsm_.attest({.public_key = Bytes(kMaxPublicKey + 1)}), ErrorKind::invalid, "InputTooLarge");
  expect_refused(nsm_.attest({.public_key = Bytes{}}), ErrorKind::invalid, "InvalidArgument");
}

TEST_F(EmulatedNsmTest, BootPcrsAreMeasuredAndLocked) {
  EXPECT_EQ(nsm_.describe_pcr(0)->value, Bytes(48, 1));
  EXPECT_EQ(nsm_.describe_pcr(3)->value, Bytes(48, 3));
  EXPECT_EQ(nsm_.describe_pcr(1)->value, Bytes(48, 0));
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(nsm_.describe_pcr(i)->locked, i < 16) << i;
  for (unsigned i = 0; i < 16; ++i) {
    expect_refused(nsm_.extend_pcr(i, Bytes{1}), ErrorKind::denied, "ReadOnlyIndex");
    expect_refused(nsm_.lock_pcr(i), ErrorKind::denied, "ReadOnlyIndex");
  }
  EXPECT_EQ(nsm_.describe_pcr(0)->value, Bytes(48, 1));
}

TEST_F(EmulatedNsmTest, ExtendsUnlockedPcrs) {
  Bytes old(48, 0);
  for (const auto& data : {Bytes{1, 2, 3}, Bytes{}, Bytes(300, 7)}) {
    append(old, data);
    auto value = sha384_of(old);
    EXPECT_EQ(nsm_.extend_pcr(16, data).value(), value);
    EXPECT_EQ(nsm_.describe_pcr(16)->value, value);
    EXPECT_FALSE(nsm_.describe_pcr(16)->locked);
    old = value;
  }
  EXPECT_EQ(nsm_.describe_pcr(17)->value, Bytes(48, 0));
}

TEST_F(EmulatedNsmTest, ALockedPcrStaysAsItIs) {
  auto value = nsm_.extend_pcr(20, Bytes{9}).value();
  ASSERT_TRUE(nsm_.lock_pcr(20).has_value());
  expect_refused(nsm_.extend_pcr(20, Bytes{9}), ErrorKind::denied, "ReadOnlyIndex");
  expect_refused(nsm_.lock_pcr(20), ErrorKind::denied, "ReadOnlyIndex");
  EXPECT_EQ(nsm_.describe_pcr(20)->value, value);
  EXPECT_TRUE(nsm_.describe_pcr(20)->locked);
}

TEST_F(EmulatedNsmTest, LocksRanges) {
  ASSERT_TRUE(nsm_.lock_pcrs(18).has_value());
  EXPECT_TRUE(nsm_.describe_pcr(17)->locked);
  EXPECT_FALSE(nsm_.describe_pcr(18)->locked);
  EXPECT_TRUE(nsm_.lock_pcrs(32).has_value());
  EXPECT_TRUE(nsm_.lock_pcrs(32).has_value());
  EXPECT_EQ(nsm_.describe()->locked_pcrs.size(), 32U);
  expect_refused(nsm_.lock_pcrs(33), ErrorKind::invalid, "InvalidIndex");
}

TEST_F(EmulatedNsmTest, HasThirtyTwoPcrs) {
  for (unsigned index : {32U, 255U, 65535U}) {
    expect_refused(nsm_.describe_pcr(index), ErrorKind::invalid, "InvalidIndex");
    expect_refused(nsm_.extend_pcr(index, Bytes{1}), ErrorKind::invalid, "InvalidIndex");
    expect_refused(nsm_.lock_pcr(index), ErrorKind::invalid, "InvalidIndex");
  }
}

TEST_F(EmulatedNsmTest, DocumentsShowBootPcrsAndLockedOnes) {
  ASSERT_TRUE(nsm_.extend_pcr(16, Bytes{1}).has_value());
  auto before = attested();
  EXPECT_EQ(before.pcrs.size(), 16U);
  EXPECT_EQ(before.pcrs.at(0), Bytes(48, 1));
  EXPECT_EQ(before.pcrs.at(15), Bytes(48, 0));
  ASSERT_TRUE(nsm_.lock_pcr(16).has_value());
  ASSERT_TRUE(nsm_.lock_pcr(31).has_value());
  auto after = attested();
  EXPECT_EQ(after.pcrs.size(), 18U);
  EXPECT_EQ(after.pcrs.at(16), nsm_.describe_pcr(16)->value);
  EXPECT_EQ(after.pcrs.at(31), Bytes(48, 0));
}

TEST_F(EmulatedNsmTest, WithoutMeasurementsItIsInDebugMode) {
  EXPECT_FALSE(attested().debug_mode());
  auto bare = EmulatedNsm::create(root_, "i-1", {}, clock_).value();
  auto bytes = attestation::Nsm(*bare).attest({}).value();
  EXPECT_TRUE(verified(bytes)->debug_mode());
}

TEST_F(EmulatedNsmTest, DescribesItself) {
  auto about = nsm_.describe().value();
  EXPECT_EQ(about.module_id, "i-0-enc0");
  EXPECT_EQ(about.max_pcrs, 32U);
  EXPECT_EQ(about.digest, "SHA384");
  std::vector<unsigned> boot(16);
  for (unsigned i = 0; i < 16; ++i) boot[i] = i;
  EXPECT_EQ(about.locked_pcrs, boot);
}

TEST_F(EmulatedNsmTest, GivesFreshRandomBytes) {
  auto first = nsm_.random().value();
  EXPECT_EQ(first.size(), kNsmRandomSize);
  EXPECT_NE(first, nsm_.random().value());
}

TEST_F(EmulatedNsmTest, SignsWithOneCertificateUntilItIsNearItsEnd) {
  auto leaf = [this] { return crypto::Certificate::from_der(attested().certificate).value(); };
  auto first = leaf();
  EXPECT_LE(first.not_before(), kNow);
  EXPECT_EQ(first.not_after(), kNow + 3 * kHour);
  clock_.set(kNow + 2 * kHour);
  EXPECT_EQ(leaf().der(), first.der());
  clock_.set(kNow + 3 * kHour - kMinute);
  auto second = leaf();
  EXPECT_NE(second.der(), first.der());
  EXPECT_EQ(second.not_after(), clock_.now() + 3 * kHour);
  clock_.set(kNow + 100 * kHour);
  EXPECT_NE(leaf().der(), second.der());
  // A clock that goes back must not leave us with certificates of the future.
  clock_.set(kNow);
  EXPECT_LE(leaf().not_before(), kNow);
}

TEST_F(EmulatedNsmTest, DocumentsExpire) {
  auto bytes = nsm_.attest({}).value();
  EXPECT_FALSE(attestation::verify(bytes, root_.certificate, kNow + 4 * kHour).has_value());
}

TEST_F(EmulatedNsmTest, AnswersRubbishWithAnError) {
  for (const auto& request : {Bytes{}, Bytes{0xFF}, Bytes{0x60}, Bytes(100, 0x81)}) {
    auto answer = attestation::parse_response(device_->exchange(request).value()).value();
    EXPECT_EQ(std::get<attestation::NsmErrorCode>(answer), attestation::NsmErrorCode::invalid_argument);
  }
  EXPECT_EQ(device_->exchange(Bytes(attestation::kMaxNsmRequest + 1)).error().kind(), ErrorKind::invalid);
}

TEST_F(EmulatedNsmTest, RefusesStrangeMeasurementsAndNames) {
  auto refused = [this](std::string name, std::map<unsigned, attestation::Pcr> pcrs) {
    auto made = EmulatedNsm::create(root_, std::move(name), pcrs, clock_);
    return !made.has_value() && made.error().kind() == ErrorKind::invalid;
  };
  EXPECT_TRUE(refused("", {}));
  EXPECT_TRUE(refused(std::string(257, 'x'), {}));
  EXPECT_TRUE(refused("\xFF", {}));
  EXPECT_TRUE(refused("i", {{16, Bytes(48)}}));
  EXPECT_TRUE(refused("i", {{0, Bytes(32)}}));
  EXPECT_FALSE(refused("i", {{15, Bytes(48)}}));
}

TEST_F(EmulatedNsmTest, LongNamesStayWhole) {
  std::string name(200, 'n');
  auto nsm = EmulatedNsm::create(root_, name, {}, clock_).value();
  auto document = verified(attestation::Nsm(*nsm).attest({}).value());
  ASSERT_TRUE(document.has_value()) << document.error().message();
  EXPECT_EQ(document->module_id, name);
}

TEST_F(EmulatedNsmTest, ServesSeveralThreads) {
  std::vector<std::thread> threads;
  std::vector<int> good(4, 0);
  for (std::size_t i = 0; i < good.size(); ++i) {
    threads.emplace_back([this, &good, i] {
      attestation::Nsm nsm(*device_);
      for (int n = 0; n < 5; ++n) {
        auto extended = nsm.extend_pcr(16, Bytes{1});
        auto document = nsm.attest({.nonce = Bytes(8, static_cast<std::uint8_t>(i))});
        if (extended.has_value() && document.has_value() && verified(*document).has_value()) ++good[i];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, std::vector<int>(4, 5));
  Bytes value(48, 0);
  for (int n = 0; n < 20; ++n) {
    value.push_back(1);
    value = sha384_of(value);
  }
  EXPECT_EQ(nsm_.describe_pcr(16)->value, value);
}

}  // namespace
}  // namespace cloister::emulator
