// Findings for people and for programs.
#pragma once

#include <string>

#include "doctor/facts.h"
#include "doctor/finding.h"

namespace cloister::doctor {

// Grouped, in the order of kChecks, with what to type below each. all: what is fine, too.
std::string in_words(const Facts& facts, const Findings& findings, bool all);
// {"backend":…,"problems":N,"warnings":N,"memory_mib":…,"findings":[{"id","group","severity","what","mend"}…]}:
// everything, what is fine included.
std::string as_json(const Facts& facts, const Findings& findings);

}  // namespace cloister::doctor
