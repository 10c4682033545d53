#include "http/client.h"

#include "base/secret.h"
#include "http/input.h"

namespace cloister::http {

namespace {

constexpr int kMaxInterim = 4;  // 1xx answers before the real one

// What a server sends wrongly is not the caller's fault.
Error blame_server(Refusal refusal) {
  if (refusal.error.kind() != ErrorKind::invalid) return std::move(refusal.error);
  return Error(ErrorKind::corrupt, fmt::format("malformed answer: {}", refusal.error.message()));
}

template <class T>
Result<T> from_server(Taken<T> taken) {
  if (!taken) return std::unexpected(blame_server(std::move(taken).error()));
  return *std::move(taken);
}

Taken<ResponseHead> read_head(Input& input, std::string_view method) {
  for (int interim = 0; interim <= kMaxInterim; ++interim) {
    auto text = TRY(input.head());
    auto head = TRY(parse_response_head(text, method));
    if (head.response.status == 101) return refuse(0, ErrorKind::corrupt, "the server switched protocols");
    if (head.response.status >= 200) return head;
  }
  return refuse(0, ErrorKind::corrupt, "more than {} interim answers", kMaxInterim);
}

// Cuts pieces of a body into lines.
class LineSplitter {
 public:
  LineSplitter(std::size_t max, const std::function<bool(std::string_view)>& on_line)
      : max_(max), on_line_(on_line) {}

  // false: the callback has had enough.
  Result<bool> take(std::string_view piece) {
    while (!piece.empty()) {
      auto end = piece.find('\n');
      auto part = piece.substr(0, end);
      if (line_.size() + part.size() > max_) {
        return fail(ErrorKind::exhausted, "a line of the answer is longer than {} bytes", max_);
      }
      line_ += part;
      if (end == piece.npos) return true;
      piece.remove_prefix(end + 1);
      if (!flush()) return false;
    }
    return true;
  }
  // A last line without a newline.
  void finish() {
    if (!line_.empty()) flush();
  }

 private:
  bool flush() {
    bool more = on_line_(line_);
    line_.clear();
    return more;
  }
  std::size_t max_;
  const std::function<bool(std::string_view)>& on_line_;
  std::string line_;
};

}  // namespace

struct Client::Buffer {
  Input input;
  bool usable = true;  // false once the connection is closed or its state unknown
  explicit Buffer(sys::Stream& stream) : input(stream) {}

  // Sends, and reads the head of the answer. Leaves `usable` false: who has read the whole body sets it
  // again.
  Result<ResponseHead> begin(sys::Stream& stream, const Request& request, const std::string& host);
};

Result<ResponseHead> Client::Buffer::begin(sys::Stream& stream, const Request& request,
                                           const std::string& host) {
  if (!usable) return fail(ErrorKind::unavailable, "the connection is closed");
  auto wire = TRY(format_request_head(request, host));
  usable = false;
  // Bytes before the question are an answer to nothing, and would pass for the answer to this one.
  if (!input.buffered().empty()) return fail(ErrorKind::corrupt, "the server sent an answer to no request");
  wire += request.body;  // there is room for it
  auto sent = stream.write_all(as_bytes(wire));
  wipe(wire);
  // A server may answer and close before it has read everything (413): its answer says more than a broken
  // pipe.
  auto head = from_server(read_head(input, request.method));
  if (!sent && (!head || head->response.status < 400)) return std::unexpected(std::move(sent).error());
  if (!sent) head->keep = false;
  return head;
}

Client::Client(std::unique_ptr<sys::Stream> stream, std::string host)
    : stream_(std::move(stream)), host_(std::move(host)), buffer_(std::make_unique<Buffer>(*stream_)) {}

Client::~Client() = default;

Result<Response> Client::exchange(const Request& request, sys::Deadline deadline, std::size_t max_body) {
  stream_->set_deadline(deadline);
  auto head = TRY(buffer_->begin(*stream_, request, host_));
  head.response.body = TRY(from_server(Body(buffer_->input, head.framing, max_body).whole()));
  buffer_->usable = head.keep;
  return std::move(head.response);
}

Result<Response> Client::stream_lines(const Request& request, std::size_t max_line,
                                      const std::function<bool(std::string_view)>& on_line,
                                      sys::Deadline header_deadline) {
  stream_->set_deadline(header_deadline);
  auto head = TRY(buffer_->begin(*stream_, request, host_));
  if (head.response.status / 100 != 2) {
    head.response.body = TRY(from_server(Body(buffer_->input, head.framing, kMaxBodyBytes).whole()));
    buffer_->usable = head.keep;
    return std::move(head.response);
  }
  stream_->set_deadline({});
  Body body(buffer_->input, head.framing, kUnlimited);
  LineSplitter lines(max_line, on_line);
  for (;;) {
    auto piece = TRY(from_server(body.next()));
    if (piece.empty()) break;
    if (!TRY(lines.take(piece))) return std::move(head.response);
  }
  lines.finish();
  buffer_->usable = head.keep;
  return std::move(head.response);
}

}  // namespace cloister::http
