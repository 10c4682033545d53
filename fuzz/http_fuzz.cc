// Requests through the server, answers through the client, heads through the tunnel: whatever comes in,
// nothing breaks, and a request that is taken is told what the handler saw, whatever the grain of the reads.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "http/client.h"
#include "http/json.h"
#include "http/scripted_stream.h"
#include "http/server.h"

namespace {

using namespace cloister;        // NOLINT
using namespace cloister::http;  // NOLINT

std::string serve(const std::string& input, std::size_t piece) {
  std::string written;
  ScriptedStream stream(input, piece, &written);
  (void)serve_connection(stream,
                         [](const Request& request) {
                           (void)request.query("nonce");
                           return Response{.body = request.method + request.target + request.body};
                         },
                         {.max_body = 4096});
  return written;
}

// Whether a body is invited depends on how much of it is already there.
std::string without_invitations(std::string text) {
  constexpr std::string_view kInvitation = "HTTP/1.1 100 Continue\r\n\r\n";
  for (auto at = text.find(kInvitation); at != text.npos; at = text.find(kInvitation, at)) {
    text.erase(at, kInvitation.size());
  }
  return text;
}

void ask(const std::string& answer, std::size_t piece) {
  Client whole(std::make_unique<ScriptedStream>(answer, piece), "h");
  if (auto response = whole.exchange({}, {})) (void)error_from(*response);
  Client lines(std::make_unique<ScriptedStream>(answer, piece), "h");
  (void)lines.stream_lines({}, 64, [](std::string_view line) { return line.size() <= 64 || (abort(), true); },
                           {});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string input(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::size_t piece = 1U + data[1];
  switch (data[0] % 4) {
    case 0:
      if (without_invitations(serve(input, piece)) != without_invitations(serve(input, SIZE_MAX))) abort();
      break;
    case 1:
      ask(input, piece);
      break;
    case 2: {
      ScriptedStream stream(input, piece);
      (void)read_request_head(stream);
      ScriptedStream proxy(input, piece);
      (void)connect_through(proxy, "h", 1, {});
      break;
    }
    default:
      (void)parse_json(input);
  }
  return 0;
}
