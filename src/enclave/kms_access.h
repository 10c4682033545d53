// With whose rights, and by which of its names, KMS is asked for one job's key. From the caller of the job.
#pragma once

#include "kms/credentials.h"
#include "kms/endpoint.h"

namespace cloister::enclave {

struct KmsAccess {
  kms::Credentials credentials;
  kms::EndpointVariant endpoint;  // among those of the trust file
};

}  // namespace cloister::enclave
