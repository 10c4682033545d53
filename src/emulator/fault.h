// Fault: an error as the AWS KMS API answers it, {"__type": …, "message": …} with a status.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::emulator {

struct Fault {
  int status = 400;
  std::string type;     // "NotFoundException"
  std::string message;  // may be empty: some faults of AWS have none

  Fault(int http_status, std::string type_name, std::string text)
      : status(http_status), type(std::move(type_name)), message(std::move(text)) {}
  // What the room below could not do. Its words stay inside: they may name files.
  Fault(const Error& error);  // NOLINT: TRY turns errors into faults
};

// Works with TRY: an Error becomes a KMSInternalException.
template <class T>
using Outcome = std::expected<T, Fault>;

template <class... Args>
[[nodiscard]] std::unexpected<Fault> fault(std::string_view type, fmt::format_string<Args...> format,
                                           Args&&... args) {
  return std::unexpected(Fault(400, std::string(type), fmt::format(format, std::forward<Args>(args)...)));
}

// ValidationException in the words of AWS: "1 validation error detected: Value '0' at 'limit' failed to
// satisfy constraint: …"; without the value where it is missing or may be secret.
[[nodiscard]] std::unexpected<Fault> invalid_value(std::string_view value, std::string_view member,
                                                   std::string_view constraint);
[[nodiscard]] std::unexpected<Fault> invalid_member(std::string_view member, std::string_view constraint);

}  // namespace cloister::emulator
