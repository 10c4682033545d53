#include "http/head.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <cstring>

namespace cloister::http {

namespace beast = boost::beast::http;

namespace {

constexpr std::size_t kMaxLengthDigits = 18;  // decimal digits of Content-Length: fits 64 bits
constexpr std::size_t kOtherHeadBytes = 128;  // of a request: spaces, version, Host and Content-Length

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || kMarks.find(c) != kMarks.npos;
  });
}

bool is_field_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
  });
}

bool is_target(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

// What Beast repairs silently and another parser on the way may read differently: folded lines, bare CR or
// LF.
Taken<void> check_lines(std::string_view head) {
  if (!head.ends_with("\r\n\r\n")) return refuse(400, ErrorKind::invalid, "head without its blank line");
  for (std::size_t i = 0; i < head.size(); ++i) {
    bool ends_line = head[i] == '\r' && i + 1 < head.size() && head[i + 1] == '\n';
    if (head[i] == '\0' || head[i] == '\n' || (head[i] == '\r' && !ends_line)) {
      return refuse(400, ErrorKind::invalid, "head with a stray control character");
    }
    if (!ends_line) continue;
    ++i;
    if (i + 1 < head.size() && (head[i + 1] == ' ' || head[i + 1] == '\t')) {
      return refuse(400, ErrorKind::invalid, "head with a folded line");
    }
  }
  return {};
}

// HTTP/1.1 only: 1.0 and whatever comes after are told 505.
Taken<void> check_request_version(std::string_view head) {
  auto line = head.substr(0, head.find("\r\n"));
  if (line.ends_with(" HTTP/1.1")) return {};
  auto space = line.rfind(' ');
  if (space != line.npos && line.substr(space + 1).starts_with("HTTP/")) {
    return refuse(505, ErrorKind::invalid, "HTTP version is not 1.1");
  }
  return refuse(400, ErrorKind::invalid, "malformed request line");
}

// Start line and fields through Beast. skip(): bodies are framed below, more strictly than Beast does it (it
// takes bare LF in chunk extensions, merges trailers into the fields and reads unknown transfer codings as
// "no body").
template <bool is_request>
Taken<beast::header<is_request>> parse_with_beast(std::string_view head) {
  try {
    beast::parser<is_request, beast::empty_body> parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.skip(true);
    boost::system::error_code error;
    auto used = parser.put(boost::asio::const_buffer(head.data(), head.size()), error);
    if (error) return refuse(400, ErrorKind::invalid, "malformed head: {}", error.message());
    if (used != head.size() || !parser.is_header_done())
      return refuse(400, ErrorKind::invalid, "malformed head");
    return std::move(parser.get().base());
  } catch (const std::exception&) {
    return refuse(500, ErrorKind::internal, "the HTTP parser gave up");
  }
}

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

Fields copy_fields(const beast::fields& parsed) {
  Fields out;
  for (const auto& field : parsed) out.add(view(field.name_string()), view(field.value()));
  return out;
}

std::size_t count(const Fields& fields, std::string_view name) {
  return static_cast<std::size_t>(std::ranges::count_if(
      fields.all(), [&](const auto& field) { return equal_ignoring_case(field.first, name); }));
}

Taken<std::uint64_t> parse_length(std::string_view text) {
  std::uint64_t length = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (text.size() > kMaxLengthDigits || error != std::errc() || end != text.data() + text.size()) {
    return refuse(400, ErrorKind::invalid, "Content-Length is not a number");
  }
  return length;
}

// Where two fields could give two readings there is none: request smuggling lives on that (RFC 9112
// section 11.2).
Taken<Framing> framing_of(const Fields& fields) {
  auto lengths = count(fields, "Content-Length");
  auto codings = count(fields, "Transfer-Encoding");
  if (lengths + codings > 1)
    return refuse(400, ErrorKind::invalid, "more than one field gives the body's length");
  if (lengths == 1) {
    return Framing{Framing::Kind::length, TRY(parse_length(fields.get("Content-Length")))};
  }
  if (codings == 0) return Framing{};
  if (!equal_ignoring_case(fields.get("Transfer-Encoding"), "chunked")) {
    return refuse(501, ErrorKind::invalid, "transfer coding is not 'chunked'");
  }
  return Framing{Framing::Kind::chunked};
}

bool asks_to_close(const Fields& fields) {
  for (const auto& [name, value] : fields.all()) {
    if (!equal_ignoring_case(name, "Connection")) continue;
    for (std::string_view rest = value; !rest.empty();) {
      auto option = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), option.size() + 1));
      option.remove_prefix(std::min(option.size(), option.find_first_not_of(" \t")));
      option = option.substr(0, option.find_last_not_of(" \t") + 1);
      if (equal_ignoring_case(option, "close")) return true;
    }
  }
  return false;
}

bool has_no_body(int status, std::string_view method) {
  return method == "HEAD" || status / 100 == 1 || status == 204 || status == 304;
}

std::size_t size_of(const Fields& fields) {
  std::size_t size = 0;
  for (const auto& [name, value] : fields.all()) size += name.size() + value.size() + std::strlen(": \r\n");
  return size;
}

Status append_fields(std::string& out, const Fields& fields) {
  for (const auto& [name, value] : fields.all()) {
    if (!is_token(name)) return fail(ErrorKind::invalid, "a field name is not a token");
    if (!is_field_value(value)) return fail(ErrorKind::invalid, "field {} has control characters", name);
    if (equal_ignoring_case(name, "Content-Length") || equal_ignoring_case(name, "Transfer-Encoding") ||
        equal_ignoring_case(name, "Connection")) {
      continue;
    }
    out.append(name).append(": ").append(value).append("\r\n");
  }
  return {};
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

Taken<RequestHead> parse_request_head(std::string_view head) {
  TRY(check_lines(head));
  TRY(check_request_version(head));
  auto parsed = TRY(parse_with_beast<true>(head));
  RequestHead out;
  out.request.method = view(parsed.method_string());
  out.request.target = view(parsed.target());
  out.request.fields = copy_fields(parsed);
  const auto& fields = out.request.fields;
  if (!is_target(out.request.target)) return refuse(400, ErrorKind::invalid, "malformed request target");
  if (count(fields, "Host") != 1) return refuse(400, ErrorKind::invalid, "exactly one Host field is wanted");
  out.framing = TRY(framing_of(fields));
  out.keep = !asks_to_close(fields);
  if (auto expected = fields.get("Expect"); !expected.empty()) {
    if (!equal_ignoring_case(expected, "100-continue")) {
      return refuse(417, ErrorKind::invalid, "unknown expectation");
    }
    out.expects_continue = true;
  }
  return out;
}

Taken<ResponseHead> parse_response_head(std::string_view head, std::string_view method) {
  TRY(check_lines(head));
  auto parsed = TRY(parse_with_beast<false>(head));
  ResponseHead out;
  out.response.status = static_cast<int>(parsed.result_int());
  out.response.fields = copy_fields(parsed);
  if (out.response.status < 100)
    return refuse(0, ErrorKind::corrupt, "status {} is none", out.response.status);
  // 1.0 is taken from servers (the EC2 metadata service speaks it), which then cannot keep the connection.
  out.keep = parsed.version() == 11 && !asks_to_close(out.response.fields);
  if (has_no_body(out.response.status, method)) return out;
  if (method == "CONNECT" && out.response.status / 100 == 2) return out;
  out.framing = TRY(framing_of(out.response.fields));
  if (out.framing.kind == Framing::Kind::chunked && parsed.version() != 11) {
    return refuse(0, ErrorKind::corrupt, "a chunked answer in HTTP/1.0");
  }
  if (out.framing.kind == Framing::Kind::none) {
    return refuse(0, ErrorKind::corrupt, "the answer does not say how long it is");
  }
  return out;
}

Result<std::string> format_request_head(const Request& request, std::string_view host) {
  if (!is_token(request.method)) return fail(ErrorKind::invalid, "the method is not a token");
  if (!is_target(request.target)) return fail(ErrorKind::invalid, "malformed request target");
  // Room for all of it, body included: fields carry credentials, and a string that grows leaves copies.
  std::string out;
  out.reserve(request.method.size() + request.target.size() + host.size() + size_of(request.fields) +
              request.body.size() + kOtherHeadBytes);
  out.append(request.method).append(" ").append(request.target).append(" HTTP/1.1\r\n");
  if (request.fields.get("Host").empty()) {
    Fields own;
    own.set("Host", host);
    TRY(append_fields(out, own));
  }
  TRY(append_fields(out, request.fields));
  bool may_have_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (!request.body.empty() || may_have_body)
    out += fmt::format("Content-Length: {}\r\n", request.body.size());
  out += "\r\n";
  return out;
}

Result<std::string> format_response_head(const Response& response, Framing framing, bool keep) {
  if (response.status < 200 || response.status > 599) {
    return fail(ErrorKind::internal, "{} is no final HTTP status", response.status);
  }
  auto reason = view(beast::obsolete_reason(static_cast<beast::status>(response.status)));
  auto out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason);
  TRY(append_fields(out, response.fields));
  if (framing.kind == Framing::Kind::length) out += fmt::format("Content-Length: {}\r\n", framing.length);
  if (framing.kind == Framing::Kind::chunked) out += "Transfer-Encoding: chunked\r\n";
  if (!keep) out += "Connection: close\r\n";
  return out + "\r\n";
}

}  // namespace cloister::http
