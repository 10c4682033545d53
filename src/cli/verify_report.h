// What `cloister verify` says of a document: in words, and as JSON.
#pragma once

#include <optional>
#include <string>

#include "attestation/judge.h"

namespace cloister::cli {

// All that is known of a document whose signature and chain hold.
struct Evidence {
  attestation::Document document;
  crypto::Certificate root;   // that its chain ends at
  sys::UnixMillis at = 0;     // when it was judged
  sys::UnixMillis now = 0;    // this machine's clock
  std::string judged;         // "at its own time": in words
  std::string compared_with;  // where the expected measurements come from; empty: nowhere
  attestation::Judgement judgement;

  bool aws() const;  // vouched for by AWS; else by a development root
};

// One fact a line.
std::string report_in_words(const Evidence& evidence);
std::string report_as_json(const Evidence& evidence);
// Of what does not verify nothing is known but why.
std::string refusal_as_json(const Error& error);

}  // namespace cloister::cli
