// The keeper: the one process that talks to the NSM and to KMS and ever holds a data key. What reaches it are
// bounded fixed structs from the listener, the monitor and the launchers, and KMS's answers; it serves no
// network.
#pragma once

#include "attestation/nsm.h"
#include "base/log.h"
#include "enclave/messages.h"
#include "enclave/trust.h"
#include "sys/endpoint.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxJobsAtOnce = 128;
inline constexpr sys::milliseconds kCredentialsLifetime =
    sys::seconds(60);  // from their arrival to the key request

// Runs until the listener or the monitor is gone.
Status run_keeper(sys::MessageSocket listener, sys::MessageSocket monitor, attestation::NsmDevice& nsm,
                  const Trust& trust, const sys::Endpoint& proxy, const Log& log);

}  // namespace cloister::enclave
