#include "doctor/finding.h"

#include <algorithm>

namespace cloister::doctor {

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::fine:
      return "fine";
    case Severity::note:
      return "note";
    case Severity::warning:
      return "warning";
    case Severity::problem:
      return "problem";
  }
  return "problem";
}

std::size_t Findings::count(Severity severity) const {
  return static_cast<std::size_t>(std::ranges::count(all_, severity, &Finding::severity));
}

}  // namespace cloister::doctor
