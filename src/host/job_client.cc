#include "host/job_client.h"

#include <nlohmann/json.hpp>

#include "codec/base64.h"

namespace cloister::host {

namespace {

using nlohmann::json;

constexpr int kExitCloisterFailed = 125;

ErrorKind kind_from(std::string_view text) {
  for (auto kind : {ErrorKind::invalid, ErrorKind::not_found, ErrorKind::denied, ErrorKind::corrupt,
                    ErrorKind::unavailable, ErrorKind::exhausted, ErrorKind::system}) {
    if (to_string(kind) == text) return kind;
  }
  return ErrorKind::internal;
}

// A member as text, whatever a hostile enclave made of it.
std::string text_of(const json& object, const char* name) {
  auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

int exit_code_of(const json& object) {
  auto at = object.find("exit_code");
  bool plausible = at != object.end() && at->is_number_integer() && *at >= 0 && *at <= 255;
  return plausible ? at->get<int>() : kExitCloisterFailed;
}

JobEnd error_end(const json& event) {
  auto at = event.find("error");
  if (at == event.end() || !at->is_object())
    return {kExitCloisterFailed, Error(ErrorKind::internal, "the enclave gave no reason")};
  Error error(kind_from(text_of(*at, "kind")), text_of(*at, "message"));
  return {exit_code_of(*at), std::move(error).with_hint(text_of(*at, "hint"))};
}

void give_output(const json& event, const JobEvents& events) {
  if (event.contains("text")) return events.on_output(text_of(event, "text"));
  auto bytes = codec::from_base64(text_of(event, "base64"));
  if (bytes) events.on_output(as_text(*bytes));
}

// One line of the event stream; the end, if it was the last.
Result<std::optional<JobEnd>> take_event(std::string_view line, const JobEvents& events) {
  auto event = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object())
    return fail(ErrorKind::corrupt, "the enclave sent an event that is not a JSON object");
  auto kind = text_of(event, "event");
  if (kind == "exit") return JobEnd{exit_code_of(event), std::nullopt};
  if (kind == "error") return error_end(event);
  if (kind == "stdout") give_output(event, events);
  if (kind == "state") {
    auto name = text_of(event, "name");
    events.on_state(text_of(event, "state"),
                    name.empty() ? "" : fmt::format("{} {}", name, text_of(event, "release")));
    if (auto weaker = text_of(event, "weaker"); !weaker.empty() && events.on_weaker) events.on_weaker(weaker);
    if (auto notice = text_of(event, "notice"); !notice.empty() && events.on_notice) events.on_notice(notice);
  }
  if (kind == "diagnostics") {
    if (auto bundle = codec::from_base64(text_of(event, "base64"))) events.on_diagnostics(*bundle);
  }
  if (kind == "dropped" && event.contains("bytes") && event["bytes"].is_number_unsigned()) {
    events.on_dropped(event["bytes"].get<std::uint64_t>());
  }
  return std::optional<JobEnd>();
}

// The connection broke while the job ran.
Error lost(const Error& error) {
  if (error.kind() != ErrorKind::unavailable && error.kind() != ErrorKind::corrupt) return error;
  return Error(ErrorKind::unavailable,
               fmt::format("the enclave was lost before the job ended: {}", error.message()))
      .with_hint("cloister status says whether it runs; cloister up starts it anew");
}

}  // namespace

Result<std::string> post_job(Session& session, const JobRequest& job, const kms::Credentials& credentials) {
  json signers = json::array();
  for (const auto& signer : job.signers) signers.push_back(to_hex(signer));
  json secret{{"access_key_id", credentials.access_key_id},
              {"secret_access_key", as_text(credentials.secret_access_key.view())}};
  if (credentials.session_token) secret["session_token"] = as_text(credentials.session_token->view());
  json body{{"package", job.package}, {"entry", job.entry},   {"arguments", job.arguments},
            {"signers", signers},     {"output", job.output}, {"share_output", job.share_output},
            {"credentials", secret}};
  if (!job.allow_writes.empty()) body["allow_writes"] = job.allow_writes;
  if (job.diagnostics) body["diagnostics"] = true;
  if (job.grace != 0) body["grace"] = job.grace;
  if (job.endpoint.fips) body["use_fips_endpoint"] = true;
  if (job.endpoint.dualstack) body["use_dualstack_endpoint"] = true;
  http::Request request{.method = "POST", .target = "/v1/jobs"};
  request.fields.set("Content-Type", "application/json");
  request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  auto response = session.request(request);
  wipe(request.body);
  auto answer = json::parse(TRY(std::move(response)).body, nullptr, /*allow_exceptions=*/false);
  auto id = answer.is_object() ? text_of(answer, "id") : "";
  if (id.empty() || !from_hex(id)) return fail(ErrorKind::corrupt, "the enclave's answer has no job id");
  return id;
}

Result<JobEnd> follow_job(Session& session, const std::string& id, const JobEvents& events,
                          const std::function<bool()>& keep_on) {
  std::optional<JobEnd> end;
  Status broken;
  auto followed = session.http().stream_lines(
      {.target = fmt::format("/v1/jobs/{}/events", id)}, kMaxEventLine,
      [&](std::string_view line) {
        auto taken = take_event(line, events);
        if (!taken) broken = std::unexpected(taken.error());
        if (taken && *taken) end = **taken;
        return taken && !end && keep_on();
      },
      sys::Deadline::after(kRequestTimeout));
  if (!followed) return std::unexpected(lost(followed.error()));
  auto response = *std::move(followed);
  if (response.status != 200) return std::unexpected(http::error_from(response));
  TRY(std::move(broken));
  if (!end) return fail(ErrorKind::unavailable, "the enclave closed the connection before the job ended");
  return *end;
}

Status cancel_job(Session& session, const std::string& id) {
  TRY(session.request({.method = "DELETE", .target = fmt::format("/v1/jobs/{}", id)}));
  return {};
}

}  // namespace cloister::host
