// Reads the facts. Every edge to the machine is behind a seam, so that tests have machines of their own.
#pragma once

#include "doctor/facts.h"
#include "host/paths.h"
#include "host/tool.h"
#include "kms/dial.h"

namespace cloister::doctor {

// Of one question over the network. What is slower counts as not answering.
inline constexpr sys::milliseconds kMetadataTimeout = sys::seconds(1);
inline constexpr sys::milliseconds kKmsTimeout = sys::seconds(3);
inline constexpr sys::milliseconds kVersionTimeout = sys::seconds(5);  // of a program that says its version
inline constexpr std::uint64_t kMaxDataFiles = 5'000'000;              // in --data

struct Edges {
  std::string root;  // before /proc, /sys, /etc, /dev and /usr: "" for this machine
  host::Environment environment;
  host::Paths paths;
  kms::Dial dial;
  host::RunTool run;
  const sys::Clock& clock;
  bool offline = false;  // nothing is asked over the network
};

Facts gather(const Edges& edges, Asked asked);
// nitro where there is the device, else qemu where there is an image, else process.
std::string likely_backend(const Edges& edges, const Asked& asked);

// Its parts.
Machine gather_machine(const std::string& root);
Nitro gather_nitro(const Edges& edges, const Machine& machine);
Qemu gather_qemu(const Edges& edges);
Image gather_image(const std::string& path);
Package gather_package(const Edges& edges, const std::string& path);
Data gather_data(const std::string& path);
std::optional<Space> gather_space(const std::string& path);
std::optional<Running> gather_running(const Edges& edges, const std::string& name);
// Region, credentials, metadata and KMS.
void gather_aws(const Edges& edges, Facts& facts);

}  // namespace cloister::doctor
