// One HTTP question to a service that has an address: the metadata of this machine, STS. For the host only:
// the enclave has its own way to KMS.
#pragma once

#include <functional>
#include <memory>

#include "http/message.h"
#include "kms/endpoint.h"
#include "sys/stream.h"

namespace cloister::kms {

inline constexpr std::size_t kMaxSourceAnswer = 64 * 1024;  // bytes of an answer that holds credentials

// Opens a stream on which HTTP can be spoken at once: TLS, where the URL has it, is done and the host
// verified.
using Dial =
    std::function<Result<std::unique_ptr<sys::Stream>>(const ServiceUrl& service, sys::Deadline deadline)>;
// Over this machine's network, TLS against AWS_CA_BUNDLE or else the system's authorities, which are read
// when first needed.
Dial system_dial(Environment environment);

// http[s]://HOST[:PORT]/PATH[?QUERY]
struct Url {
  ServiceUrl service;
  std::string target = "/";
  static Result<Url> parse(std::string_view text);
};
// As a Host field has it.
std::string host_field(const ServiceUrl& service);

// Sends one request over a new stream, wipes its body and its secret fields, and closes.
Result<http::Response> ask(std::unique_ptr<sys::Stream> stream, const ServiceUrl& service,
                           http::Request request, sys::Deadline deadline);

}  // namespace cloister::kms
