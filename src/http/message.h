// HTTP/1.1 messages as values (RFC 9110, 9112). Parsing is Boost.Beast's, inside this room only.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace cloister::http {

inline constexpr std::size_t kMaxHeaderBytes = 8 * 1024;   // start line and all fields
inline constexpr std::size_t kMaxBodyBytes = 1024 * 1024;  // of a whole message kept in memory

// Field names compare without case; the order is kept.
class Fields {
 public:
  void set(std::string_view name, std::string_view value);
  void add(std::string_view name, std::string_view value);
  std::string_view get(std::string_view name) const;  // the first; empty if absent
  void wipe(std::string_view name);                   // overwrites and empties the values: credentials
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

struct Request {
  std::string method = "GET";
  std::string target = "/";  // path and query, as sent
  Fields fields;
  std::string body;

  std::string_view path() const;                   // target up to '?'
  std::string query(std::string_view name) const;  // percent-decoded; empty if absent
};

struct Response {
  int status = 200;
  Fields fields;
  std::string body;
};

// The HTTP status for an error kind, one table (500 for internal…).
int status_of(ErrorKind kind);
// {"error":{"kind":"denied","message":…,"hint":…}} with that status.
Response error_response(const Error& error);
// The other direction: the Error that error_response() was made from; foreign bodies become a kind by status.
Error error_from(const Response& response);

}  // namespace cloister::http
