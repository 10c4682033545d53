// `cloister key show`: who can decrypt with a key, in words or as JSON.
#pragma once

#include <string>

#include "host/key_findings.h"
#include "host/known_signers.h"

namespace cloister::cli {

std::string show_in_words(const host::KeyFacts& facts, const host::KeyJudgement& judgement,
                          const host::KnownSigners& signers);
std::string show_as_json(const host::KeyFacts& facts, const host::KeyJudgement& judgement);

}  // namespace cloister::cli
