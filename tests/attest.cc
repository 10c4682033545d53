// A document of an emulated security module, vouched for by a development root, for a key of the test's own.
// Writes it to standard output. Usage:
//   attest DEVELOPMENT_ROOT PUBLIC_KEY.der PCR0 PCR1 PCR2 [AGE_SECONDS]
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "attestation/nsm.h"
#include "emulator/development_root.h"
#include "emulator/nsm_emulator.h"
#include "sys/file.h"

namespace {

using namespace cloister;

constexpr std::size_t kMaxKey = 4096;  // bytes
constexpr int kFirstPcr = 3;           // among the arguments
constexpr int kPcrs = 3;
constexpr int kAge = kFirstPcr + kPcrs;

Status attest(int argc, char** argv) {
  sys::UnixMillis age = argc > kAge ? std::atoll(argv[kAge]) * 1000 : 0;
  sys::FixedClock clock(sys::SystemClock().now() - age);
  auto root = TRY(emulator::DevelopmentRoot::load_or_create(argv[1], clock.now()));
  std::map<unsigned, attestation::Pcr> pcrs;
  for (unsigned i = 0; i < kPcrs; ++i) pcrs[i] = TRY(from_hex(argv[kFirstPcr + i]));
  auto module = TRY(emulator::EmulatedNsm::create(root, "i-test-enc0", pcrs, clock));
  auto document =
      TRY(attestation::Nsm(*module).attest({.public_key = TRY(sys::read_file(argv[2], kMaxKey))}));
  return sys::write_all(STDOUT_FILENO, document, "write the document");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < kAge) return 2;
  auto made = attest(argc, argv);
  if (!made) fmt::print(stderr, "{}\n", made.error().message());
  return made ? 0 : 1;
}
