// Writes an enclave image of given parts, for tests that compare it with other people's programs:
//   eif_tool OUT x86_64|arm64 KERNEL "COMMAND LINE" METADATA.json|- RAMDISK…
#include <cstdio>
#include <string>
#include <vector>

#include "image/eif.h"
#include "sys/file.h"

namespace {

using namespace cloister;

constexpr std::size_t kMaxMetadataFile = 1 << 20;  // bytes

Status write(const std::vector<std::string>& arguments) {
  if (arguments.size() < 6) return fail(ErrorKind::invalid, "usage: see eif_tool.cc");
  image::ImageParts parts{
      .architecture = arguments[1] == "arm64" ? image::Architecture::arm64 : image::Architecture::x86_64,
      .kernel_path = arguments[2],
      .command_line = arguments[3],
      .ramdisk_paths = {arguments.begin() + 5, arguments.end()}};
  if (arguments[4] != "-") {
    auto metadata = TRY(sys::read_file(arguments[4], kMaxMetadataFile));
    parts.metadata = as_text(metadata);
  }
  return image::write_eif(arguments[0], parts);
}

}  // namespace

int main(int argc, char** argv) {
  auto written = write({argv + 1, argv + argc});
  if (written) return 0;
  fmt::print(stderr, "eif_tool: {}\n", written.error().message());
  return 1;
}
