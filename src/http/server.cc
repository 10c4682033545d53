#include "http/server.h"

#include <array>

#include "base/secret.h"
#include "http/input.h"

namespace cloister::http {

namespace {

// After a refusal the rest of what the peer sends is read and dropped within these bounds, so that closing
// does not reset the connection under an answer still on its way.
constexpr std::size_t kLingerBytes = 256 * 1024;
constexpr sys::milliseconds kLinger = sys::seconds(2);

class ChunkStreamer final : public Streamer {
 public:
  ChunkStreamer(sys::Stream& stream, sys::milliseconds patience) : stream_(stream), patience_(patience) {}

  Status write(std::string_view part) override {
    if (part.empty()) return {};  // an empty chunk would be the end
    return send(fmt::format("{:x}\r\n{}\r\n", part.size(), part));
  }
  Status finish() { return send("0\r\n\r\n"); }

 private:
  Status send(std::string_view wire) {
    stream_.set_deadline(sys::Deadline::after(patience_));
    return stream_.write_all(as_bytes(wire));
  }
  sys::Stream& stream_;
  sys::milliseconds patience_;
};

// One accepted connection.
class Connection {
 public:
  Connection(sys::Stream& stream, const Handler& handler, const ServerLimits& limits)
      : stream_(stream), handler_(handler), limits_(limits), input_(stream) {}

  Status serve();

 private:
  Taken<RequestHead> read_request();
  Taken<void> send_continue(const RequestHead& head);
  Result<bool> reply(const RequestHead& head);
  Status reply_whole(const Response& response, bool keep, bool head_only);
  Status reply_stream(const Answer& answer, bool keep, bool head_only);
  Status send(std::string_view wire);
  void tell(const Refusal& refusal);
  void linger();

  sys::Stream& stream_;
  const Handler& handler_;
  const ServerLimits& limits_;
  Input input_;
};

Status Connection::serve() {
  for (bool keep = true; keep;) {
    stream_.set_deadline(sys::Deadline::after(limits_.idle));
    if (!TRY(input_.await())) return {};
    auto head = read_request();
    if (!head) {
      tell(head.error());
      return std::unexpected(std::move(head).error());
    }
    auto kept = reply(*head);
    // Requests carry credentials.
    wipe(head->request.body);
    keep = TRY(std::move(kept));
  }
  return stream_.shutdown_write();
}

// Head and body share one deadline: a peer that sends a byte now and then gains nothing.
Taken<RequestHead> Connection::read_request() {
  stream_.set_deadline(sys::Deadline::after(limits_.request));
  auto text = TRY(input_.head());
  auto head = TRY(parse_request_head(text));
  if (!head.request.target.starts_with('/')) {
    return refuse(400, ErrorKind::invalid, "the request target is not a path");
  }
  TRY(send_continue(head));
  head.request.body = TRY(Body(input_, head.framing, limits_.max_body).whole());
  return head;
}

Taken<void> Connection::send_continue(const RequestHead& head) {
  bool too_large = head.framing.kind == Framing::Kind::length && head.framing.length > limits_.max_body;
  bool already_here = !input_.buffered().empty() || head.framing.kind == Framing::Kind::none;
  if (!head.expects_continue || too_large || already_here) return {};
  auto sent = stream_.write_all(as_bytes("HTTP/1.1 100 Continue\r\n\r\n"));
  if (!sent) return std::unexpected(Refusal(std::move(sent).error(), 0));
  return {};
}

Result<bool> Connection::reply(const RequestHead& head) {
  auto answer = handler_(head.request);
  bool head_only = head.request.method == "HEAD";
  if (answer.stream) {
    TRY(reply_stream(answer, head.keep, head_only));
  } else {
    auto sent = reply_whole(answer.response, head.keep, head_only);
    wipe(answer.response.body);
    TRY(std::move(sent));
  }
  return head.keep;
}

Status Connection::send(std::string_view wire) {
  stream_.set_deadline(sys::Deadline::after(limits_.write));
  return stream_.write_all(as_bytes(wire));
}

Status Connection::reply_whole(const Response& response, bool keep, bool head_only) {
  bool bodiless = response.status == 204 || response.status == 304;
  Framing framing{bodiless ? Framing::Kind::none : Framing::Kind::length, response.body.size()};
  auto wire = format_response_head(response, framing, keep);
  if (!wire) {
    // A handler let something through that cannot be sent as a header.
    tell(Refusal(Error(ErrorKind::internal, "the answer could not be formed"), 500));
    return std::unexpected(std::move(wire).error());
  }
  if (!bodiless && !head_only) {
    wire->reserve(wire->size() + response.body.size());
    *wire += response.body;
  }
  auto sent = send(*wire);
  wipe(*wire);
  return sent;
}

Status Connection::reply_stream(const Answer& answer, bool keep, bool head_only) {
  auto head = TRY(format_response_head(answer.response, {Framing::Kind::chunked}, keep));
  TRY(send(head));
  if (head_only) return {};
  ChunkStreamer streamer(stream_, limits_.write);
  // On failure the last chunk stays away: the peer sees that the answer was cut.
  TRY(answer.stream(streamer));
  return streamer.finish();
}

void Connection::tell(const Refusal& refusal) {
  if (refusal.status == 0) return;
  auto response = error_response(refusal.error);
  response.status = refusal.status;
  auto wire = format_response_head(response, {Framing::Kind::length, response.body.size()}, false);
  if (wire && send(*wire + response.body)) linger();
}

void Connection::linger() {
  stream_.set_deadline(sys::Deadline::after(kLinger));
  if (!stream_.shutdown_write()) return;
  std::array<std::uint8_t, 4096> dropped;
  for (std::size_t total = 0; total < kLingerBytes;) {
    auto n = stream_.read_some(dropped);
    if (!n || *n == 0) return;
    total += *n;
  }
}

}  // namespace

Status serve_connection(sys::Stream& stream, const Handler& handler, const ServerLimits& limits) {
  return Connection(stream, handler, limits).serve();
}

}  // namespace cloister::http
