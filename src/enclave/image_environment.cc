#include "enclave/image_environment.h"

#include "sys/file.h"

namespace cloister::enclave {

Result<ImageEnvironment> parse_image_environment(std::string_view text) {
  ImageEnvironment out;
  while (!text.empty()) {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    auto equals = line.find('=');
    if (end == std::string_view::npos || equals == std::string_view::npos || equals == 0)
      return fail(ErrorKind::invalid, "the image's environment: line {} is not NAME=VALUE", out.size() + 1);
    if (line.find('\0') != std::string_view::npos)
      return fail(ErrorKind::invalid, "the image's environment holds a NUL byte");
    if (!out.emplace(std::string(line.substr(0, equals)), line.substr(equals + 1)).second)
      return fail(ErrorKind::invalid, "the image's environment has '{}' twice", line.substr(0, equals));
    text.remove_prefix(end + 1);
  }
  return out;
}

Result<ImageEnvironment> load_image_environment(const std::string& path) {
  auto bytes = sys::read_file(path, kMaxEnvironmentFile);
  if (!bytes && bytes.error().kind() == ErrorKind::not_found) return ImageEnvironment();
  auto text = TRY(std::move(bytes));
  return parse_image_environment(as_text(text));
}

}  // namespace cloister::enclave
