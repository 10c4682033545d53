// The part of a KMS key policy that binds a key to enclave images and releases: made, read and changed here,
// the rest of the policy is left as it is. Condition keys: AWS KMS Developer Guide, "Condition keys for AWS
// Nitro Enclaves".
//
// Three kinds of statements, known by their Sids:
//   CloisterOnlyAttested       Deny kms:Decrypt and kms:ReEncryptFrom to everyone unless the attested PCR0 is
//   one of
//                              the images; with no image, to everyone. Re-encryption has no attestation, so
//                              that it is always denied: to a key of one's own it would be a decryption
//   CloisterRelease?<PCR0…>    Deny kms:Decrypt for that image unless name, release and signer are among
//   those
//                              listed, or once its time is over (? is R, N, S or U)
//   CloisterAllow<PCR0…>       Allow kms:Decrypt to the principals for that image, under the same conditions
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
  std::string until;                    // "2027-01-31T00:00:00Z": not from then on; empty: no end
  bool operator==(const ImageGrant&) const = default;
};

struct KeyAccess {
  bool only_attested = false;  // the Deny is there, with the actions that are written here
  std::vector<ImageGrant> images;
  bool operator==(const KeyAccess&) const = default;
};

// corrupt: not a policy document, or one of our statements has been changed into something that we do not
// write.
// account: of the key's ARN.
Result<KeyAccess> read_access(std::string_view text, std::string_view account);
// The policy with our statements replaced by those for `access`. account, partition: of the key's ARN.
Result<std::string> write_access(std::string_view text, const KeyAccess& access, std::string_view account,
                                 std::string_view partition = "aws");

// Adds an image, or to what it may open already: lists grow, of which `grant` names nothing stays as it is
// (empty means "every", so that a first name restricts), an end is replaced.
void allow_image(KeyAccess& access, const ImageGrant& grant);
// The image may open exactly this.
void replace_image(KeyAccess& access, const ImageGrant& grant);
// not_found: no such image. pcr0 empty: all images.
Status revoke_image(KeyAccess& access, std::string_view pcr0);
// Takes releases away from an image (pcr0 empty: from all); one that has none left is gone. not_found: no
// image lists this release. invalid: an image is not restricted to releases, so that none can be taken from
// it.
Status revoke_release(KeyAccess& access, std::string_view pcr0, std::string_view release);

// "2027-01-31" or "2027-01-31T12:00:00Z" as policies have it. invalid: anything else.
Result<std::string> policy_time(std::string_view text);

// IAM policies for one key: what whoever encrypts needs, and what the host's role needs.
struct IamPolicies {
  std::string owner;  // JSON
  std::string host;
};
IamPolicies iam_policies(std::string_view key_arn);

}  // namespace cloister::host
