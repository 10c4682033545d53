// Randomness before anything else: an enclave boots with nothing that its parent could not know, so the
// kernel's generator is seeded from the security module before the first key is made.
#pragma once

#include <functional>

#include "attestation/nsm.h"

namespace cloister::boot {

inline constexpr std::size_t kSeedBytes = 512;       // credited; the kernel wants 256 bits
inline constexpr std::size_t kMaxSeedRequests = 64;  // a module that gives less than 8 bytes a time is broken

// Feeds bytes to the kernel's generator and credits them in full.
using CreditEntropy = std::function<Status(ByteView)>;

// unavailable: the module gives none. corrupt: what it gives is no randomness (one byte repeated, or one
// answer twice). The caller must not go on after an error.
Status seed_kernel(attestation::Nsm& nsm, const CreditEntropy& credit);

// RNDADDENTROPY on /dev/random (linux/random.h), then a proof that getrandom(2) does not wait any more.
Status credit_kernel(ByteView seed);

}  // namespace cloister::boot
