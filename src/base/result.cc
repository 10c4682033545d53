#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace cloister {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid:
      return "invalid";
    case ErrorKind::not_found:
      return "not_found";
    case ErrorKind::denied:
      return "denied";
    case ErrorKind::corrupt:
      return "corrupt";
    case ErrorKind::unavailable:
      return "unavailable";
    case ErrorKind::exhausted:
      return "exhausted";
    case ErrorKind::system:
      return "system";
    case ErrorKind::internal:
      return "internal";
  }
  return "internal";
}

Error Error::context(std::string_view what) && {
  message_ = fmt::format("{}: {}", what, message_);
  return std::move(*this);
}

Error Error::with_hint(std::string hint) && {
  if (hint_.empty()) hint_ = std::move(hint);
  return std::move(*this);
}

namespace {

ErrorKind kind_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
      return ErrorKind::not_found;
    case EACCES:
    case EPERM:
      return ErrorKind::denied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return ErrorKind::exhausted;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return ErrorKind::unavailable;
    default:
      return ErrorKind::system;
  }
}

}  // namespace

std::unexpected<Error> fail_errno(int error_number, std::string_view what) {
  return fail(kind_of_errno(error_number), "{}: {}", what, std::strerror(error_number));
}

std::unexpected<Error> fail_errno(std::string_view what) {
  return fail_errno(errno, what);
}

}  // namespace cloister
