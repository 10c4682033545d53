// What each request of docs/formats/control.md does, for one connection.
#pragma once

#include <span>

#include "crypto/tls.h"
#include "enclave/jobs.h"
#include "enclave/metrics.h"
#include "enclave/peers.h"
#include "enclave/slots.h"
#include "enclave/tickets.h"
#include "enclave/trust.h"
#include "http/server.h"

namespace cloister::enclave {

// Everything that all connections share. Owned by the listener; its members are thread-safe.
struct ListenerState {
  Mode mode{};
  crypto::TlsIdentity identity;
  KeeperPeer& keeper;
  ShareServers& shares;
  JobTable& jobs;
  Tickets& tickets;
  Slots& connections;
  ListenerCounters& counters;
};

// One client connection: who it is, whether it has been attested to, and its requests. Used by one thread.
class Session {
 public:
  // The TLS stream outlives the session.
  static Result<Session> open(ListenerState& state, const crypto::TlsStream& stream);
  http::Answer answer(const http::Request& request);
  const ClientId& client() const { return client_; }

  // One row of the table of requests. docs/openapi.yaml lists the same ones; a unit test compares them.
  struct Route {
    std::string_view method;
    std::string_view path;  // "{id}" stands for one segment: a job's id
    Result<http::Answer> (Session::*handler)(const http::Request&, JobId);
  };
  static std::span<const Route> routes();

 private:
  Session(ListenerState& state, const ClientId& client, const crypto::Sha256& binding)
      : state_(state), client_(client), binding_(binding) {}

  Result<http::Answer> dispatch(const http::Request& request);
  Result<http::Answer> attestation(const http::Request& request, JobId id);
  Result<http::Answer> info(const http::Request& request, JobId id);
  Result<http::Answer> open_share(const http::Request& request, JobId id);
  Result<http::Answer> start_job(const http::Request& request, JobId id);
  Result<http::Answer> list_jobs(const http::Request& request, JobId id);
  Result<http::Answer> show_job(const http::Request& request, JobId id);
  Result<http::Answer> follow_job(const http::Request& request, JobId id);
  Result<http::Answer> cancel_job(const http::Request& request, JobId id);
  Result<http::Answer> metrics(const http::Request& request, JobId id);

  ListenerState& state_;
  ClientId client_;
  crypto::Sha256 binding_;  // user_data that binds a document to this connection
  bool attested_ = false;
};

}  // namespace cloister::enclave
