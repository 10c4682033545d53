// From a verified document to a verdict: what it says against what somebody demands, doubt by doubt. Pure
// functions, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attestation/measurements.h"
#include "attestation/parent.h"

namespace cloister::attestation {

inline constexpr sys::UnixMillis kMaxClockSkew = 5LL * 60 * 1000;  // milliseconds

struct Demands {
  std::optional<Measurements> image;  // every register named there has to match
  bool any_image = false;             // without `image`: that nothing is compared is meant so
  bool allow_debug = false;
  std::string instance;  // of the parent, "i-…"; empty: any
  std::string role;      // of the parent, an ARN; empty: any
};

struct Doubt {
  std::string why;
  std::string hint;  // may be empty
};

struct Judgement {
  std::vector<Comparison> image;       // ascending; empty if nothing was compared
  std::optional<Module> module;        // as module_id names it
  bool instance_measured = false;      // PCR4 is that of module->instance
  std::optional<Comparison> instance;  // with Demands::instance
  std::optional<Comparison> role;      // with Demands::role
  std::vector<Doubt> doubts;           // none: the document is what was demanded
};

// `document` comes from verify(). at: when it is judged; a document must not be from later.
Judgement judge(const Document& document, const Demands& demands, sys::UnixMillis at);

}  // namespace cloister::attestation
