#include "builder/kernel.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>

#include "builder/sources.h"
#include "image/tree.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

// Documentation/arch/x86/boot.rst: "HdrS", and where the version's text is, counted from the end of the boot
// sector.
constexpr std::size_t kBootMagicOffset = 0x202;
constexpr std::size_t kVersionPointer = 0x20e;
constexpr std::size_t kBootSector = 0x200;
// Documentation/arch/arm64/booting.rst: "ARM\x64".
constexpr std::size_t kArmMagicOffset = 56;
constexpr std::string_view kBanner = "Linux version ";
constexpr std::size_t kMaxVersion = 128;  // bytes

std::string word_at(std::string_view text, std::size_t offset) {
  if (offset >= text.size()) return "";
  text = text.substr(offset, kMaxVersion);
  return std::string(text.substr(0, text.find_first_of(std::string_view(" \0", 2))));
}

std::string version_of_x86(std::string_view image) {
  if (image.size() < kVersionPointer + 2 || image.substr(kBootMagicOffset, 4) != "HdrS") return "";
  auto low = static_cast<unsigned char>(image[kVersionPointer]);
  auto high = static_cast<unsigned char>(image[kVersionPointer + 1]);
  return word_at(image, kBootSector + low + std::size_t{256} * high);
}

std::string version_of_arm64(std::string_view image) {
  if (image.size() < kArmMagicOffset + 4 || image.substr(kArmMagicOffset, 4) != "ARM\x64") return "";
  auto banner = image.find(kBanner);
  return banner == std::string_view::npos ? "" : word_at(image, banner + kBanner.size());
}

bool new_enough(const std::string& version) {
  unsigned major = 0;
  unsigned minor = 0;
  const char* end = version.data() + version.size();
  auto first = std::from_chars(version.data(), end, major);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.') return false;
  if (std::from_chars(first.ptr + 1, end, minor).ec != std::errc()) return false;
  return major > kOldestKernelMajor || (major == kOldestKernelMajor && minor >= kOldestKernelMinor);
}

// kernel/build.sh: where Cloister is installed, or in the sources that this program was built in.
Result<std::string> find_build_script() {
  std::error_code error;
  auto self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* place : {"../share/cloister/kernel/build.sh", "../../../kernel/build.sh"}) {
    auto script = (self / place).lexically_normal();
    if (::access(script.c_str(), X_OK) == 0) return script.string();
  }
  Error missing(ErrorKind::not_found, "the kernel's sources of settings (kernel/build.sh) are not installed");
  return std::unexpected(std::move(missing).with_hint("--kernel FILE takes a kernel that is at hand"));
}

}  // namespace

Result<std::string> kernel_version(const std::string& path, image::Architecture architecture) {
  auto bytes = TRY(sys::read_file(path, image::kMaxKernel));
  bool arm64 = architecture == image::Architecture::arm64;
  auto version = arm64 ? version_of_arm64(as_text(bytes)) : version_of_x86(as_text(bytes));
  if (version.empty())
    return fail(ErrorKind::invalid, "{} is not a kernel for {}: {} is wanted", path, to_string(architecture),
                arm64 ? "an uncompressed Image" : "a bzImage");
  if (!new_enough(version))
    return fail(ErrorKind::invalid, "{} is Linux {}, and {}.{} or newer is wanted", path, version,
                kOldestKernelMajor, kOldestKernelMinor);
  return version;
}

Result<std::string> find_kernel(const Recipe& recipe, const WorkFolder& work, const Say& say) {
  if (!recipe.kernel.empty()) return recipe.kernel;
  bool arm64 = recipe.architecture == image::Architecture::arm64;
  auto script = TRY(find_build_script());
  say("kernel: Cloister's own, compiled once (some minutes) and kept");
  TRY(run_program({.words = {script, arm64 ? "arm64" : "x86_64", work.below("kernel")},
                   .changed = {},
                   .log = work.below("kernel.log"),
                   .hint = "./dev setup image"}));
  return work.below(arm64 ? "kernel/Image" : "kernel/bzImage");
}

}  // namespace cloister::builder
