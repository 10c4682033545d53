// A tar stream from a hostile owner, into a real directory. Nothing it makes may lead out of there or carry
// special bits.
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "package/unpacker.h"

using namespace cloister;
namespace fs = std::filesystem;

namespace {

constexpr package::UnpackLimits kLimits{.max_bytes = 256 * 1024, .max_entries = 32};

// One for the process, emptied after each input. It holds the target and nothing else; in memory where that
// is possible.
const fs::path& outer() {
  static const auto* const path = [] {
    auto base = fs::is_directory("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
    std::string pattern = (base / "cloister-tar-fuzz-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    // Never destroyed: the handler below runs after the destructors of statics.
    auto* made = new fs::path(pattern);
    std::atexit([] {
      std::error_code ignored;
      fs::remove_all(outer(), ignored);
    });
    return made;
  }();
  return *path;
}

void check_inside(const fs::path& root) {
  std::uint64_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    ++count;
    struct stat info{};
    if (::lstat(entry.path().c_str(), &info) != 0) std::abort();
    if (S_ISLNK(info.st_mode)) {
      std::error_code dangling;
      auto end = fs::canonical(entry.path(), dangling);
      if (!dangling && !end.string().starts_with(root.string())) std::abort();
    } else if ((info.st_mode & 07000) != 0 || !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))) {
      std::abort();
    }
  }
  if (count > kLimits.max_entries + 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto root = outer() / "target";
  fs::create_directory(root);
  auto directory = sys::Dir::open(root.string());
  if (!directory) std::abort();
  {
    package::Unpacker unpacker(*directory, kLimits);
    // In two pieces, so that blocks are cut as well.
    ByteView input(data, size);
    auto first = input.first(size / 3);
    if (unpacker.write(first) && unpacker.write(input.subspan(first.size())))
      static_cast<void>(unpacker.finish());
  }
  check_inside(fs::canonical(root));
  if (std::distance(fs::directory_iterator(outer()), fs::directory_iterator()) != 1) std::abort();
  fs::remove_all(root);
  return 0;
}
