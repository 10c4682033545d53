#include "emulator/paging.h"

#include <nlohmann/json.hpp>

#include "codec/base64.h"

namespace cloister::emulator {

Outcome<Page> Page::read(const Call& call, std::string_view operation, PageLimits limits) {
  auto limit = TRY(call.parameters.integer("Limit", 1, limits.most)).value_or(limits.fallback);
  auto marker = TRY(call.parameters.text("Marker", 1, kMaxMarker));
  Page page(operation, static_cast<std::size_t>(limit), {});
  if (!marker) return page;
  auto decoded = codec::from_base64(*marker);
  auto prefix = fmt::format("{}/", operation);
  if (!decoded || !as_text(*decoded).starts_with(prefix)) {
    return fault("InvalidMarkerException", "The marker is not valid for {}", operation);
  }
  page.after_ = as_text(*decoded).substr(prefix.size());
  return page;
}

void Page::finish(http::Json& answer, bool more, std::string_view last) const {
  answer["Truncated"] = more;
  if (more) answer["NextMarker"] = codec::to_base64(as_bytes(fmt::format("{}/{}", operation_, last)));
}

}  // namespace cloister::emulator
