// One key policy, looked at from outside: who could do what under which attestation document. Internal to
// key_openings and key_findings.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "iam/what_if.h"

namespace cloister::host {

struct KeyView {
  std::string arn;
  std::string account;  // the key's
  iam::Policy policy;
  std::set<std::string> accounts;      // that the policy names
  std::optional<sys::UnixMillis> now;  // nothing earlier is of interest; absent: all times are
};

// "CloisterOnlyAttested", or "statement 3" if it has no Sid.
std::string statement_name(const KeyView& view, const iam::Statement& statement);
// "StringEquals kms:viaservice s3.eu-west-1.amazonaws.com".
std::string describe(const iam::Condition& condition);

// --- documents -------------------------------------------------------------------------------------------

inline constexpr std::string_view kAttestationKeys = "kms:recipientattestation:";

// An image as policies name it, by what PCR0 (which ImageSha384 is), PCR8 (who signed it) or PCR1 holds.
struct NamedImage {
  std::string pcr;    // "PCR0"
  std::string value;  // hexadecimal, lower case
  auto operator<=>(const NamedImage&) const = default;
};
// In the order in which they identify: PCR0 first. All-zero values are none: they stand for debug mode.
std::vector<NamedImage> named_images(const iam::Policy& policy);
bool is_zero_register(std::string_view value);
bool is_attestation(const iam::Condition& condition);

iam::Supposition no_document();
// An image of that register's value. Registers before it hold what no policy names: those have rows of their
// own.
iam::Supposition document_of(const NamedImage& image);
// Documents that anyone with an enclave of his own can get: the host chooses PCR3 and PCR4, the image the
// ones from 16 on, and a program beside somebody's kernel leaves PCR1 as it was, or PCR2.
std::vector<iam::Supposition> documents_of_anybody();

// --- people ----------------------------------------------------------------------------------------------

// Somebody whom a statement lets through.
struct Admitted {
  const iam::PrincipalPattern* pattern = nullptr;
  iam::Subject who;
  iam::Prospect prospect;
};
// Whom an Allow could let through past every Deny. given: the document, and what else is known.
std::vector<Admitted> admitted(const KeyView& view, const iam::Statement& allow, std::string_view action,
                               const iam::Supposition& given);
// In words, one for each principal of the statement: "whom the account's IAM policies allow".
std::vector<std::string> names_of(const KeyView& view, const std::vector<Admitted>& people);
// Somebody who is not of the key's account: of another, of any, or a service.
bool any_outsider(const KeyView& view, const std::vector<Admitted>& people);
// Nobody at all can do it, whatever a grant or a later Allow says: a Deny holds for everyone.
bool denied_to_everyone(const KeyView& view, std::string_view action, const iam::Supposition& given);
// The same for one subject.
bool denied_to(const KeyView& view, const iam::Subject& who, std::string_view action,
               const iam::Supposition& given);

}  // namespace cloister::host
