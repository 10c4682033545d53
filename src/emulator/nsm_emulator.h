// EmulatedNsm: a Nitro Secure Module in software. Documents have the real format and a chain that ends at a
// development root, so that whoever trusts the AWS root alone refuses them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "attestation/nsm.h"
#include "attestation/nsm_message.h"
#include "emulator/nsm_chain.h"
#include "sys/clock.h"

namespace cloister::emulator {

inline constexpr unsigned kBootPcrs = 16;           // locked when the enclave starts
inline constexpr std::size_t kNsmRandomSize = 256;  // bytes per GetRandom

// Thread-safe. Owns its chain; the clock must outlive it.
class EmulatedNsm final : public attestation::NsmDevice {
 public:
  // PCRs 0 to 15 as measured, 48 bytes each; missing ones are zero. invalid: another index or size, a bad
  // module id.
  static Result<std::unique_ptr<EmulatedNsm>> create(const DevelopmentRoot& root, std::string module_id,
                                                     const std::map<unsigned, attestation::Pcr>& pcrs,
                                                     const sys::Clock& clock);

  // Errors of the module are answers, as from the real one. invalid: the request is larger than the driver
  // takes.
  Result<Bytes> exchange(ByteView request) override;

 private:
  EmulatedNsm(NsmChain chain, NsmLeaf leaf, std::string module_id, const sys::Clock& clock)
      : chain_(std::move(chain)), leaf_(std::move(leaf)), module_id_(std::move(module_id)), clock_(clock) {}

  attestation::NsmResponse answer(const attestation::DescribePcrRequest& request);
  attestation::NsmResponse answer(const attestation::ExtendPcrRequest& request);
  attestation::NsmResponse answer(const attestation::LockPcrRequest& request);
  attestation::NsmResponse answer(const attestation::LockPcrsRequest& request);
  attestation::NsmResponse answer(const attestation::DescribeNsmRequest& request);
  attestation::NsmResponse answer(const attestation::AttestationRequest& request);
  attestation::NsmResponse answer(const attestation::GetRandomRequest& request);
  Status renew_leaf(sys::UnixMillis now);
  Result<Bytes> make_document(const attestation::AttestationRequest& request);

  const NsmChain chain_;
  std::mutex mutex_;  // guards leaf_ and pcrs_
  NsmLeaf leaf_;
  std::array<attestation::PcrState, attestation::kMaxPcrs> pcrs_;
  const std::string module_id_;
  const sys::Clock& clock_;
};

}  // namespace cloister::emulator
