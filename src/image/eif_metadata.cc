#include "image/eif_metadata.h"

#include <nlohmann/json.hpp>

#include "http/json.h"

namespace cloister::image {

namespace {

using http::Json;

Result<std::string> text_of(const Json& object, std::string_view name) {
  const auto* text = http::find_text(object, name);
  if (text == nullptr) return fail(ErrorKind::invalid, "no text {}", name);
  return std::string(text->data(), text->size());
}

Result<const Json*> object_of(const Json& object, const char* name) {
  auto found = object.find(name);
  if (found == object.end() || !found->is_object()) return fail(ErrorKind::invalid, "no object {}", name);
  return &*found;
}

// The reference's schema wants objects, its reader takes any value, and its users have put null there.
Result<std::string> value_of(const Json& object, const char* name) {
  auto found = object.find(name);
  if (found == object.end()) return fail(ErrorKind::invalid, "no {}", name);
  return std::string(http::format_json(*found));
}

std::string quoted(const std::string& text) {
  return std::string(http::format_json(Json(http::JsonString(text))));
}

}  // namespace

Result<EifMetadata> EifMetadata::parse(std::string_view json) {
  auto all = TRY(http::parse_json(json));
  if (!all.is_object()) return fail(ErrorKind::invalid, "not a JSON object");
  EifMetadata out;
  out.image_name = TRY(text_of(all, "ImageName"));
  out.image_version = TRY(text_of(all, "ImageVersion"));
  const auto* build = TRY(object_of(all, "BuildMetadata"));
  out.build_time = TRY(text_of(*build, "BuildTime"));
  out.build_tool = TRY(text_of(*build, "BuildTool"));
  out.build_tool_version = TRY(text_of(*build, "BuildToolVersion"));
  out.operating_system = TRY(text_of(*build, "OperatingSystem"));
  out.kernel_version = TRY(text_of(*build, "KernelVersion"));
  out.docker_info = TRY(value_of(all, "DockerInfo"));
  out.custom = TRY(value_of(all, "CustomMetadata"));
  return out;
}

std::string EifMetadata::to_json() const {
  return fmt::format(
      R"({{"ImageName":{},"ImageVersion":{},"BuildMetadata":{{"BuildTime":{},"BuildTool":{},)"
      R"("BuildToolVersion":{},"OperatingSystem":{},"KernelVersion":{}}},"DockerInfo":{},"CustomMetadata":{}}})",
      quoted(image_name), quoted(image_version), quoted(build_time), quoted(build_tool),
      quoted(build_tool_version), quoted(operating_system), quoted(kernel_version), docker_info, custom);
}

}  // namespace cloister::image
