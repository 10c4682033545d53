// Errors of AWS JSON services: both directions, and what they mean to a caller.
#pragma once

#include <string>
#include <string_view>

#include "http/message.h"

namespace cloister::kms {

struct ServiceError {
  int status = 400;
  std::string type;     // AccessDeniedException…; empty if the answer does not name one
  std::string message;  // bounded and free of control characters

  // Of an answer that is not 2xx. Never fails: a body that says nothing leaves the status.
  static ServiceError parse(const http::Response& response);
  http::Response encode() const;

  // what: the operation. Adds a hint where the person can do something.
  Error to_error(std::string_view what) const;
  // Overload and failures of the service itself; the same request may succeed later.
  bool worth_retrying() const;
  // The signature was refused, perhaps because of its time.
  bool may_be_clock_skew() const;
};

}  // namespace cloister::kms
