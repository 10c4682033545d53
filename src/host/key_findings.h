// What is wrong, or worth knowing, about who can use a key: its policy, its grants, its regions. Anybody's
// policy, not only those that `key allow` wrote. A finding of `decrypt-without-attestation` is missing only
// if no request without a document can pass the policy; that it is there may be too dark a view, since what a
// condition will meet is not always known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "host/key_openings.h"
#include "kms/grants.h"

namespace cloister::host {

enum class Severity { note, warning };

struct Finding {
  Severity severity = Severity::note;
  std::string code;       // stable, for programs: "decrypt-without-attestation"
  std::string statement;  // its Sid, "statement 3", "grant ID"; empty: of the whole key
  std::string text;       // one sentence
  std::string advice;     // what to do; may be empty
};

// All that is known of a key.
struct KeyFacts {
  kms::KeyMetadata key;
  std::string policy;  // JSON
  std::vector<kms::Grant> grants;
  std::string grants_unknown;    // why they could not be listed; empty: they could
  bool takes_simulated = false;  // the embedded KMS, to which simulated enclaves are as good as others
  sys::UnixMillis now = 0;
};

struct KeyJudgement {
  bool judged = false;  // false: the policy could not be understood, and a finding says so
  std::vector<Opening> openings;
  std::vector<Finding> findings;  // warnings first
};

KeyJudgement judge_key(const KeyFacts& facts);

}  // namespace cloister::host
