// The trust file: everything that decides whom an enclave believes, in one measured file
// (docs/formats/trust.md). Nothing else can widen it: no command line, environment, message or request has a
// field for what stands here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "crypto/x509.h"
#include "kms/endpoint.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxTrustFile = 1024 * 1024;  // bytes; most of it is the CA bundle
inline constexpr std::size_t kMaxTrustedAuthorities = 512;
inline constexpr const char* kTrustFilePath = "/etc/cloister/trust.json";

// simulated: processes, emulated NSM. emulated: a booted image on emulated hardware. production: Nitro.
enum class Mode { simulated, emulated, production };
std::string_view to_string(Mode mode);

struct Trust {
  Mode mode = Mode::production;
  // ARN partition → the variants that may be asked for → host pattern with {region}
  std::map<std::string, std::map<kms::EndpointVariant, std::string>> kms_endpoints;
  std::vector<crypto::Certificate> kms_authorities;  // who may vouch for the KMS endpoint
  std::vector<std::string> required_walls;           // a job does not start without these

  // invalid: not JSON, a missing or unknown member, an empty CA bundle, an unknown mode.
  static Result<Trust> parse(ByteView text);
  // From a file, and of a mode that the caller is built for. denied: another mode.
  static Result<Trust> load(const std::string& path, const std::vector<Mode>& modes);
  // The KMS host for a key, from its signed ARN's partition and region. Which variant is the caller's choice
  // among those listed: each is a name that this file trusts. denied: the partition or the variant is not
  // listed.
  Result<std::string> kms_host(std::string_view key_arn, kms::EndpointVariant variant) const;
};

}  // namespace cloister::enclave
