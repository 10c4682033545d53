// Jobs from the client's side: post, follow, cancel.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "crypto/digest.h"
#include "host/session.h"
#include "kms/credentials.h"
#include "kms/endpoint.h"

namespace cloister::host {

inline constexpr std::size_t kMaxEventLine = 128 * 1024;  // bytes; the enclave's pieces are far smaller

struct JobRequest {
  std::string package;
  std::string entry;
  std::vector<std::string> arguments;
  std::vector<crypto::Sha256> signers;
  std::string output;
  bool share_output = false;
  std::vector<std::string> allow_writes;  // directories beyond output/ that it may write to
  bool diagnostics = false;               // a bundle for its owner is wanted
  std::uint64_t grace = 0;                // seconds that it goes on while nobody follows it; 0: the default
  kms::EndpointVariant endpoint;          // which of its KMS endpoints the enclave asks
};

// Posts the job and returns its id. The request's text, credentials in it, is wiped.
Result<std::string> post_job(Session& session, const JobRequest& job, const kms::Credentials& credentials);

// What a follower is told. Output comes as bytes, exactly as the application wrote them.
struct JobEvents {
  std::function<void(std::string_view)> on_output;
  std::function<void(std::string_view state, std::string_view application)> on_state;
  std::function<void(std::uint64_t)> on_dropped;
  std::function<void(std::string_view)> on_weaker;  // the walls that the enclave's kernel or host lacks
  std::function<void(std::string_view)> on_notice;  // what the enclave noticed when it asked KMS
  std::function<void(ByteView)> on_diagnostics;     // the sealed bundle
};
struct JobEnd {
  int exit_code = 0;
  std::optional<Error> error;  // Cloister could not run it
};
// Until the job ends, or `keep_on` is false.
Result<JobEnd> follow_job(Session& session, const std::string& id, const JobEvents& events,
                          const std::function<bool()>& keep_on);

Status cancel_job(Session& session, const std::string& id);

}  // namespace cloister::host
