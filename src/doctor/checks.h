// Judges facts. Pure: the same facts give the same findings.
#pragma once

#include "doctor/facts.h"
#include "doctor/finding.h"

namespace cloister::doctor {

// Everything, in the order of kChecks.
Findings examine(const Facts& facts);

// Its parts.
void check_machine(const Facts& facts, Findings& out);
void check_enclave(const Facts& facts, Findings& out);
void check_nitro(const Facts& facts, Findings& out);
void check_memory(const Facts& facts, Findings& out);
void check_package(const Facts& facts, Findings& out);
void check_aws(const Facts& facts, Findings& out);
void check_kms(const Facts& facts, Findings& out);

// MiB that the enclave would have: what was asked for, else what the image asks for (nitro: at least four
// times the file, to which `up` raises it). 0: there is no image.
std::uint64_t enclave_memory_mib(const Facts& facts);
// MiB with which image, package and data fit, with room for the application; a multiple of 64.
std::uint64_t fitting_memory_mib(const Facts& facts);

}  // namespace cloister::doctor
