// What every verb needs: where things are, the environment, and the clock. Made once in main, handed to each
// verb.
#pragma once

#include "host/enclave_record.h"
#include "host/paths.h"
#include "host/session.h"
#include "kms/client.h"
#include "kms/sources.h"
#include "sys/clock.h"

namespace cloister::cli {

struct Context {
  host::Paths paths;
  host::Environment environment;
  sys::SystemClock clock;
  bool terminal = false;  // standard output is one

  // Where the person's AWS credentials are looked for.
  kms::Surroundings surroundings() const { return {environment, kms::system_dial(environment), clock}; }

  // A client of KMS with the caller's credentials: at AWS_ENDPOINT_URL_KMS where it is set, verified against
  // AWS_CA_BUNDLE; at AWS's own endpoint for the region and against the system's authorities else.
  Result<kms::Client> kms_client(const std::string& region) const;
  // Whether the KMS in use is not AWS's own.
  bool embedded_kms() const;

  // An attested session with a running enclave, judged by the measurements in `image` (a file) or by those
  // noted at `cloister up`.
  Result<host::Session> open_session(const host::EnclaveRecord& enclave, const std::string& image) const;
  // Who may vouch for an enclave's documents. denied: it is emulated, and somebody else's.
  static Result<crypto::Certificate> trusted_root(const host::EnclaveRecord& enclave,
                                                  const host::Expectation& expected);
};

}  // namespace cloister::cli
