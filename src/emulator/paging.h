// Paging of the List operations: Limit, Marker, NextMarker, Truncated.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "emulator/call.h"

namespace cloister::emulator {

struct PageLimits {
  std::int64_t fallback;  // entries, where the request names no Limit
  std::int64_t most;
};

// One page that a request asks for. A marker is base64 of the operation's name and the last entry that was
// shown: those of another operation are refused, and clients cannot come to depend on what is in it.
class Page {
 public:
  // InvalidMarkerException: not a marker that this operation gave out.
  static Outcome<Page> read(const Call& call, std::string_view operation, PageLimits limits);

  const std::string& after() const { return after_; }  // empty: from the beginning
  std::size_t probe() const { return limit_ + 1; }     // entries to ask the store for
  // Cuts what the store answered to the page; whether there is more.
  template <class Entry>
  bool cut(std::vector<Entry>& entries) const {
    bool more = entries.size() > limit_;
    if (more) entries.resize(limit_);
    return more;
  }
  // Sets Truncated, and NextMarker where there is more. last: of the entries shown.
  void finish(http::Json& answer, bool more, std::string_view last) const;

 private:
  Page(std::string_view operation, std::size_t limit, std::string after)
      : operation_(operation), limit_(limit), after_(std::move(after)) {}
  std::string operation_;
  std::size_t limit_;
  std::string after_;
};

}  // namespace cloister::emulator
