// TagResource, UntagResource, ListResourceTags.
#include <nlohmann/json.hpp>

#include "emulator/call.h"
#include "emulator/paging.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr PageLimits kPage{.fallback = 50, .most = 50};

Outcome<json> tag_resource(Call& call) {
  auto key = TRY(call.required_key());
  if (!call.parameters.has("Tags")) return invalid_member("tags", "Member must not be null");
  auto tags = TRY(call.parameters.tags());
  describe_tags(call.context, tags);
  TRY(call.require("TagResource", key));
  TRY(Call::require_staying(key));
  auto added = call.store.add_tags(key.id, tags);
  if (!added && added.error().kind() == ErrorKind::exhausted) return fault("TagException", "Too many tags");
  TRY(std::move(added));
  return json();
}

Outcome<json> untag_resource(Call& call) {
  auto key = TRY(call.required_key());
  if (!call.parameters.has("TagKeys")) return invalid_member("tagKeys", "Member must not be null");
  auto names = TRY(call.parameters.texts("TagKeys", 1, kMaxTagKey));
  call.context.set_list("aws:TagKeys", names);
  TRY(call.require("UntagResource", key));
  TRY(Call::require_staying(key));
  TRY(call.store.remove_tags(key.id, names));
  return json();
}

Outcome<json> list_tags(Call& call) {
  auto key = TRY(call.required_key());
  auto page = TRY(Page::read(call, "ListResourceTags", kPage));
  TRY(call.require("ListResourceTags", key));
  auto tags = TRY(call.store.tags(key.id, page.after(), page.probe()));
  bool more = page.cut(tags);
  json list = json::array();
  for (const auto& tag : tags) list.push_back({{"TagKey", tag.key}, {"TagValue", tag.value}});
  json answer{{"Tags", std::move(list)}};
  page.finish(answer, more, more ? tags.back().key : "");
  return answer;
}

constexpr OperationEntry kOperations[] = {
    {"ListResourceTags", list_tags},
    {"TagResource", tag_resource},
    {"UntagResource", untag_resource},
};

}  // namespace

void describe_tags(iam::RequestContext& context, const std::vector<Tag>& tags) {
  if (tags.empty()) return;
  std::vector<std::string> names;
  for (const auto& tag : tags) {
    context.set(fmt::format("aws:RequestTag/{}", tag.key), tag.value);
    names.push_back(tag.key);
  }
  context.set_list("aws:TagKeys", std::move(names));
}

std::span<const OperationEntry> tag_operations() {
  return kOperations;
}

}  // namespace cloister::emulator
