// The part of a KMS key policy that binds a key to enclave images and releases: made, read and changed here,
// the rest of the policy is left as it is. Condition keys: AWS KMS Developer Guide, "Condition keys for AWS
// Nitro Enclaves".
//
// Two kinds of statements, known by their Sids:
//   CloisterOnlyAttested     Deny kms:Decrypt to everyone unless the attested PCR0 is one of the images; with
//   no image, to everyone CloisterRelease<PCR0…>   Deny kms:Decrypt for that image unless name, release and
//   signer are among those listed CloisterAllow<PCR0…>     Allow kms:Decrypt to the principals for that image
// The Denies hold against every other way to be allowed (IAM policies by the root statement, grants): an
// explicit deny wins.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "attestation/measurements.h"

namespace cloister::host {

inline constexpr std::size_t kMaxPolicy = 32 * 1024;  // bytes, AWS's limit

struct ImageGrant {
  std::string pcr0;                     // hex
  std::vector<std::string> principals;  // ARNs; empty: the account's own IAM decides
  std::vector<std::string> releases;    // empty: every release
  std::vector<std::string> names;       // package names; empty: every one
  std::vector<std::string> signers;     // fingerprints; empty: every one
};

struct KeyAccess {
  bool only_attested = false;  // the Deny is there
  std::vector<ImageGrant> images;
};

// corrupt: not a policy document, or one of our statements has been changed into something that we do not
// write.
Result<KeyAccess> read_access(std::string_view policy);
// The policy with our statements replaced by those for `access`. account: of the key.
Result<std::string> write_access(std::string_view policy, const KeyAccess& access, std::string_view account);

// Adds or replaces an image.
void allow_image(KeyAccess& access, ImageGrant grant);
// not_found: no such image. pcr0 empty: all images.
Status revoke_image(KeyAccess& access, std::string_view pcr0);

}  // namespace cloister::host
