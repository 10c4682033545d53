#include "enclave/routes.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "enclave/job.h"
#include "enclave/order.h"

namespace cloister::enclave {

namespace {

using nlohmann::json;

constexpr std::string_view kBindingTag = "cloister/tls/v1";
constexpr unsigned kMaxLanesAsked = 8;  // of one mount, today
constexpr std::string_view kIdPlace = "{id}";

http::Answer json_answer(std::string body, int status = 200) {
  http::Response response{.status = status};
  response.fields.set("Content-Type", "application/json");
  response.body = std::move(body);
  return response;
}

// The text in the place of "{id}" (empty where the pattern has none), if the path has the pattern's shape.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) {
  auto at = pattern.find(kIdPlace);
  if (at == pattern.npos) return path == pattern ? std::optional(std::string_view()) : std::nullopt;
  auto before = pattern.substr(0, at);
  auto after = pattern.substr(at + kIdPlace.size());
  if (path.size() <= before.size() + after.size()) return std::nullopt;
  if (!path.starts_with(before) || !path.ends_with(after)) return std::nullopt;
  auto id = path.substr(before.size(), path.size() - before.size() - after.size());
  return id.find('/') == id.npos ? std::optional(id) : std::nullopt;
}

Result<JobId> parse_job_id(std::string_view text) {
  JobId id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size())
    return fail(ErrorKind::not_found, "no such job");
  return id;
}

std::string job_list(const std::vector<JobView>& jobs) {
  std::string out = R"({"jobs":[)";
  for (const auto& job : jobs) {
    if (out.back() != '[') out += ',';
    out += to_json(job);
  }
  return out + "]}";
}

struct WantedMount {
  unsigned lanes = 0;
  bool exclusive = false;
};

Result<WantedMount> parse_wanted_mount(const std::string& body) {
  auto object = json::parse(body, nullptr, /*allow_exceptions=*/false);
  bool lanes_named = object.is_object() && object.contains("lanes") && object["lanes"].is_number_unsigned();
  bool exclusive_named = object.is_object() && object.contains("exclusive");
  if (!lanes_named || object.size() != (exclusive_named ? 2 : 1) ||
      (exclusive_named && !object["exclusive"].is_boolean())) {
    return fail(ErrorKind::invalid,
                "the body is not {{\"lanes\":N}} or {{\"lanes\":N,\"exclusive\":BOOLEAN}}");
  }
  auto lanes = object["lanes"].get<std::uint64_t>();
  if (lanes < 1 || lanes > kMaxLanesAsked)
    return fail(ErrorKind::invalid, "'lanes' is not between 1 and {}", kMaxLanesAsked);
  return WantedMount{static_cast<unsigned>(lanes), exclusive_named && object["exclusive"].get<bool>()};
}

std::uint64_t fresh_session() {
  ByteArray<8> raw;
  crypto::fill_random(raw);
  return *Reader(raw).u64();
}

}  // namespace

Result<Session> Session::open(ListenerState& state, const crypto::TlsStream& stream) {
  auto client = TRY(stream.peer_key()).fingerprint();
  Bytes bound = to_bytes(kBindingTag);
  append(bound, state.identity.key.public_key().spki());
  append(bound, TRY(stream.exporter()));
  return Session(state, client, crypto::sha256(bound));
}

http::Answer Session::answer(const http::Request& request) {
  auto answered = dispatch(request);
  return answered ? *std::move(answered) : http::Answer(http::error_response(answered.error()));
}

std::span<const Session::Route> Session::routes() {
  static constexpr std::array kRoutes{
      Route{"GET", "/v1/attestation", &Session::attestation},
      Route{"GET", "/v1/info", &Session::info},
      Route{"GET", "/v1/metrics", &Session::metrics},
      Route{"POST", "/v1/share", &Session::open_share},
      Route{"POST", "/v1/jobs", &Session::start_job},
      Route{"GET", "/v1/jobs", &Session::list_jobs},
      Route{"GET", "/v1/jobs/{id}", &Session::show_job},
      Route{"DELETE", "/v1/jobs/{id}", &Session::cancel_job},
      Route{"GET", "/v1/jobs/{id}/events", &Session::follow_job},
  };
  return kRoutes;
}

Result<http::Answer> Session::dispatch(const http::Request& request) {
  const Route* chosen = nullptr;
  bool known = false;
  std::string_view id;
  for (const auto& route : routes()) {
    auto matched = match(route.path, request.path());
    if (!matched) continue;
    known = true;
    if (route.method != request.method) continue;
    chosen = &route;
    id = *matched;
    break;
  }
  bool attesting = chosen != nullptr && chosen->handler == &Session::attestation;
  if (!attested_ && !attesting)
    return fail(ErrorKind::denied, "the first request of a connection must be GET /v1/attestation");
  if (!known) return fail(ErrorKind::not_found, "no such resource");
  if (chosen == nullptr) return fail(ErrorKind::invalid, "{} is not for this resource", request.method);
  return (this->*chosen->handler)(request, id.empty() ? JobId{} : TRY(parse_job_id(id)));
}

Result<http::Answer> Session::attestation(const http::Request& request, JobId) {
  auto raw = TRY(from_hex(request.query("nonce")).context("nonce"));
  ByteArray<kNonceSize> nonce;
  if (raw.size() != nonce.size()) return fail(ErrorKind::invalid, "the nonce is not {} bytes", nonce.size());
  std::copy(raw.begin(), raw.end(), nonce.begin());
  auto document = TRY(state_.keeper.attest(nonce, binding_));
  attested_ = true;
  http::Response response;
  response.fields.set("Content-Type", "application/cbor");
  response.body = std::string(as_text(document));
  return http::Answer(std::move(response));
}

Result<http::Answer> Session::info(const http::Request&, JobId) {
  json out{{"version", CLOISTER_VERSION},
           {"mode", to_string(state_.mode)},
           {"confidential", state_.mode == Mode::production},
           {"client", to_hex(client_)}};
  return json_answer(out.dump());
}

Result<http::Answer> Session::open_share(const http::Request& request, JobId) {
  auto wanted = TRY(parse_wanted_mount(request.body));
  TRY(state_.shares.open(client_));
  TRY(state_.shares.check_room(client_, wanted.exclusive));
  auto session = fresh_session();
  json tickets = json::array();
  for (unsigned i = 0; i < wanted.lanes; ++i) {
    tickets.push_back(to_hex(TRY(state_.tickets.issue({.client = client_,
                                                       .purpose = LanePurpose::requests,
                                                       .session = session,
                                                       .exclusive = wanted.exclusive}))));
  }
  auto notifier = TRY(
      state_.tickets.issue({.client = client_, .purpose = LanePurpose::notifications, .session = session}));
  return json_answer(json{{"tickets", tickets}, {"notifier", to_hex(notifier)}}.dump());
}

Result<http::Answer> Session::start_job(const http::Request& request, JobId) {
  auto posted = TRY(parse_posted_job(request.body));
  if (!state_.shares.known(client_)) {
    Error error(ErrorKind::not_found, "you have no shared folder in this enclave");
    return std::unexpected(std::move(error).with_hint("run: cloister sync -d DIR"));
  }
  TRY(state_.keeper.hand_over(posted.order->id, posted.kms));
  auto started = state_.jobs.start(client_, posted);
  if (!started) state_.keeper.forget(posted.order->id);
  auto view = TRY(std::move(started));
  return json_answer(json{{"id", job_id_text(view.id)}}.dump(), 201);
}

Result<http::Answer> Session::list_jobs(const http::Request&, JobId) {
  return json_answer(job_list(state_.jobs.list(client_)));
}

Result<http::Answer> Session::show_job(const http::Request&, JobId id) {
  return json_answer(to_json(TRY(state_.jobs.view(client_, id))));
}

Result<http::Answer> Session::cancel_job(const http::Request&, JobId id) {
  return json_answer(to_json(TRY(state_.jobs.cancel(client_, id))));
}

Result<http::Answer> Session::follow_job(const http::Request&, JobId id) {
  TRY(state_.jobs.view(client_, id));  // a 404 comes before the stream begins
  http::Response head;
  head.fields.set("Content-Type", "application/x-ndjson");
  return http::Answer(std::move(head), [this, id](http::Streamer& out) {
    return state_.jobs.follow(client_, id,
                              [&out](std::string_view line) { return out.write(fmt::format("{}\n", line)); });
  });
}

Result<http::Answer> Session::metrics(const http::Request&, JobId) {
  http::Response response;
  response.fields.set("Content-Type", std::string(kMetricsType));
  response.body = metrics_text({.mode = state_.mode,
                                .uptime = state_.counters.uptime(),
                                .connections_open = state_.connections.used(),
                                .counters = state_.counters,
                                .jobs = state_.jobs.totals(),
                                .shares = state_.shares.totals()});
  return http::Answer(std::move(response));
}

}  // namespace cloister::enclave
