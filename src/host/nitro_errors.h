// nitro-cli's errors in our words: what each code means for whoever typed `cloister up`, and what to type
// next.
#pragma once

#include <string>
#include <string_view>

#include "host/tool.h"

namespace cloister::host {

// What nitro-cli printed when it failed. `action`: what it was to do, "run-enclave".
//
// nitro-cli writes "[ E27 ] text", blank lines, a link and the name of a log file to standard error, and ends
// with the code's number. A failure in the process behind an enclave is followed by "Failed connections: 1"
// and an E39 that says nothing more: the first code that is neither E38 nor E39 is the one that counts. With
// BACKTRACE=1 a list "Subactions:" ends with the cause. Sources: src/common/{mod,document_errors}.rs and
// src/enclave_proc_comm.rs of aws-nitro-enclaves-cli 1.5;
// docs.aws.amazon.com/enclaves/latest/user/cli-errors.html.
Error nitro_error(std::string_view action, const ToolOutput& output);

// The environment variable that makes nitro-cli name causes.
inline constexpr const char* kNitroBacktrace = "BACKTRACE=1";

}  // namespace cloister::host
