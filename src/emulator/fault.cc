#include "emulator/fault.h"

namespace cloister::emulator {

Fault::Fault(const Error& error) : status(500), type("KMSInternalException") {
  if (error.kind() == ErrorKind::unavailable) {
    type = "DependencyTimeoutException";
  }
  message = "The request could not be handled because of an internal error";
}

std::unexpected<Fault> invalid_value(std::string_view value, std::string_view member,
                                     std::string_view constraint) {
  return fault("ValidationException",
               "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}", value,
               member, constraint);
}

std::unexpected<Fault> invalid_member(std::string_view member, std::string_view constraint) {
  return fault("ValidationException",
               "1 validation error detected: Value at '{}' failed to satisfy constraint: {}", member,
               constraint);
}

}  // namespace cloister::emulator
