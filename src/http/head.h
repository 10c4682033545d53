// Message heads (start line and fields) as text and back, and what they say about the body. Internal to the
// room.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "http/message.h"

namespace cloister::http {

// Why a message is not taken, and the status its sender is told: 0 where telling makes no sense.
struct Refusal {
  Error error;
  int status = 0;
  Refusal(Error why, int tell) : error(std::move(why)), status(tell) {}
  operator Error() && { return std::move(error); }  // NOLINT: lets TRY hand it on as an Error
};
template <class T>
using Taken = std::expected<T, Refusal>;

template <class... Args>
[[nodiscard]] std::unexpected<Refusal> refuse(int status, ErrorKind kind, fmt::format_string<Args...> format,
                                              Args&&... args) {
  return std::unexpected(Refusal(Error(kind, fmt::format(format, std::forward<Args>(args)...)), status));
}

// How the end of a body is known (RFC 9112 section 6). A body that ends with the connection is not taken: a
// cut could not be told from an end.
struct Framing {
  enum class Kind { none, length, chunked };
  Kind kind = Kind::none;
  std::uint64_t length = 0;  // bytes, for Kind::length
};

struct RequestHead {
  Request request;  // without body
  Framing framing;
  bool keep = true;               // the sender wants the connection kept
  bool expects_continue = false;  // RFC 9110 section 10.1.1
};

struct ResponseHead {
  Response response;  // without body
  Framing framing;
  bool keep = true;
};

bool equal_ignoring_case(std::string_view a, std::string_view b);

// head: everything up to and including the blank line, at most kMaxHeaderBytes.
Taken<RequestHead> parse_request_head(std::string_view head);
// method: of the request that is answered; it decides whether there is a body.
Taken<ResponseHead> parse_response_head(std::string_view head, std::string_view method);

// A request's has room for its body behind it, so that appending that leaves no copy.
// Framing fields and Connection come from here; those in `fields` are left out. invalid: a name or value that
// would not arrive as what it is (line breaks, controls).
Result<std::string> format_request_head(const Request& request, std::string_view host);
Result<std::string> format_response_head(const Response& response, Framing framing, bool keep);

}  // namespace cloister::http
