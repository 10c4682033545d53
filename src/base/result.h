// Result<T>: how every fallible call of Cloister answers, and Error: what went wrong and what to do about it.
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace cloister {

// What the caller can do about an error. One table each maps kinds to exit codes, errno and HTTP status.
enum class ErrorKind {
  invalid,      // the input is malformed or unsupported: change it
  not_found,    // the thing named does not exist
  denied,       // it exists, but policy or permission says no
  corrupt,      // data fails an integrity check: do not use it
  unavailable,  // a peer is absent, slow or overloaded: try again later
  exhausted,    // a named limit, memory, disk or quota is reached
  system,       // the operating system refused a call
  internal,     // a defect of Cloister
};

std::string_view to_string(ErrorKind kind);

// An error: kind, a chain of contexts ("what failed: why") and an optional hint. Never holds a secret.
class Error {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

  // Puts "what: " before the message.
  Error context(std::string_view what) &&;
  // What the person can do next. The innermost hint stays: it knows most.
  Error with_hint(std::string hint) &&;

 private:
  ErrorKind kind_;
  std::string message_;
  std::string hint_;
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using Base = std::expected<T, Error>;
  using Base::Base;

  Result context(std::string_view what) && {
    if (!this->has_value()) this->error() = std::move(this->error()).context(what);
    return std::move(*this);
  }
  Result with_hint(std::string hint) && {
    if (!this->has_value()) this->error() = std::move(this->error()).with_hint(std::move(hint));
    return std::move(*this);
  }
};

using Status = Result<void>;

// return fail(ErrorKind::invalid, "release {} is longer than {} bytes", …);
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> format,
                                          Args&&... args) {
  return std::unexpected(Error(kind, fmt::format(format, std::forward<Args>(args)...)));
}

// The system call `what` failed with the given errno value: "what: No such file or directory".
[[nodiscard]] std::unexpected<Error> fail_errno(int error_number, std::string_view what);
// The same with the current errno.
[[nodiscard]] std::unexpected<Error> fail_errno(std::string_view what);

}  // namespace cloister

// Unwraps a Result or returns its error from the enclosing function: `auto fd = TRY(open_file(path));`
// The counter keeps a TRY inside a TRY from shadowing its outer one's variable.
#define TRY(...) CLOISTER_TRY_NUMBERED(__COUNTER__, __VA_ARGS__)
#define CLOISTER_TRY_NUMBERED(n, ...) CLOISTER_TRY_NAMED(n, __VA_ARGS__)
#define CLOISTER_TRY_NAMED(n, ...)                                                              \
  ({                                                                                            \
    auto&& try_result_##n = (__VA_ARGS__);                                                      \
    if (!try_result_##n.has_value()) return std::unexpected(std::move(try_result_##n).error()); \
    *std::move(try_result_##n);                                                                 \
  })
