// Errors over HTTP: both directions of docs/formats/control.md's error body.
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "http/json.h"
#include "http/message.h"

namespace cloister::http {

namespace {

constexpr std::size_t kMaxErrorText = 4096;  // bytes of a peer's message or hint that are kept

struct Row {
  ErrorKind kind;
  int status;
};
constexpr std::array kTable = {
    Row{ErrorKind::invalid, 400}, Row{ErrorKind::denied, 403},      Row{ErrorKind::not_found, 404},
    Row{ErrorKind::corrupt, 422}, Row{ErrorKind::exhausted, 429},   Row{ErrorKind::internal, 500},
    Row{ErrorKind::system, 500},  Row{ErrorKind::unavailable, 503},
};

std::optional<ErrorKind> kind_named(std::string_view name) {
  for (const auto& row : kTable) {
    if (to_string(row.kind) == name) return row.kind;
  }
  return std::nullopt;
}

// For servers that are not ours.
ErrorKind kind_of(int status) {
  for (const auto& row : kTable) {
    if (row.status == status) return row.kind;
  }
  if (status == 401 || status == 407) return ErrorKind::denied;
  if (status == 413 || status == 431 || status == 507) return ErrorKind::exhausted;
  if (status == 408 || status / 100 == 5) return ErrorKind::unavailable;
  return ErrorKind::invalid;
}

std::string bounded(std::string_view text) {
  return std::string(text.substr(0, kMaxErrorText));
}

// The "error" member if the body is ours.
std::optional<Error> parse_body(const Response& response) {
  auto body = parse_json(response.body);
  if (!body || !body->is_object()) return std::nullopt;
  auto member = body->find("error");
  if (member == body->end()) return std::nullopt;
  const auto* message = find_text(*member, "message");
  const auto* kind = find_text(*member, "kind");
  const auto* hint = find_text(*member, "hint");
  if (message == nullptr || kind == nullptr) return std::nullopt;
  Error error(kind_named(*kind).value_or(kind_of(response.status)), bounded(*message));
  return hint == nullptr ? error : std::move(error).with_hint(bounded(*hint));
}

}  // namespace

int status_of(ErrorKind kind) {
  for (const auto& row : kTable) {
    if (row.kind == kind) return row.status;
  }
  return 500;
}

Response error_response(const Error& error) {
  Json inner = {{"kind", JsonString(to_string(error.kind()))}, {"message", JsonString(error.message())}};
  if (!error.hint().empty()) inner["hint"] = JsonString(error.hint());
  Json outer = {{"error", std::move(inner)}};
  Response response;
  response.status = status_of(error.kind());
  response.fields.set("Content-Type", "application/json");
  response.body = std::string_view(format_json(outer));
  return response;
}

Error error_from(const Response& response) {
  if (auto error = parse_body(response)) return *std::move(error);
  return Error(kind_of(response.status), fmt::format("the server answered {}", response.status));
}

}  // namespace cloister::http
