// The old sample's packages as a hostile file: the head, the token's shape, and the archive in it, which an
// owner could be given with a token that verifies. Whatever is taken has names that stay inside and sizes
// that hold.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "crypto/digest.h"
#include "host/legacy_package.h"
#include "sys/file.h"

using namespace cloister;

namespace {

constexpr std::uint64_t kMostUnpacked =
    16 * 1024 * 1024;  // bytes of one member; fuzzing more is slow, not better

void require(bool condition) {
  if (!condition) std::abort();
}

sys::Fd memory(ByteView bytes) {
  sys::Fd file(::memfd_create("legacy", MFD_CLOEXEC));
  require(file && sys::write_all(file.get(), bytes, "input").has_value());
  return file;
}

// No input verifies: nobody has this key.
void check_package(ByteView bytes) {
  auto file = memory(bytes);
  auto package = host::LegacyPackage::open("/proc/self/fd/" + std::to_string(file.get()));
  if (!package) return;
  require(!package->wrapped_key().empty() && package->wrapped_key().size() <= host::kMaxLegacyKey);
  static const auto key = crypto::sha256(as_bytes("nobody's"));
  require(!package->decrypt(Secret(ByteView(key)), "/dev/shm"));
}

void check_archive(ByteView bytes) {
  auto archive = host::ZipArchive::open(memory(bytes));
  if (!archive) return;
  for (const auto& [path, member] : archive->members()) {
    require(package::check_tar_path(path).has_value() && member.mode <= 0777);
    require(path.find('\\') == std::string::npos);
    if (member.type != package::TarType::file || member.size > kMostUnpacked) continue;
    std::uint64_t given = 0;
    auto done = archive->extract(path, [&](ByteView piece) -> Status {
      given += piece.size();
      return {};
    });
    require(given <= member.size && (!done || given == member.size));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView bytes(data, size);
  check_package(bytes);
  check_archive(bytes);
  return 0;
}
