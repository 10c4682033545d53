#include "boot/entropy.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "base/secret.h"
#include "sys/fd.h"

namespace cloister::boot {

namespace {

constexpr int kBitsPerByte = 8;

bool is_one_byte_repeated(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [&](std::uint8_t byte) { return byte == bytes.front(); });
}

}  // namespace

Status seed_kernel(attestation::Nsm& nsm, const CreditEntropy& credit) {
  Bytes before;
  std::size_t credited = 0;
  for (std::size_t i = 0; i < kMaxSeedRequests && credited < kSeedBytes; ++i) {
    auto random = TRY(nsm.random());
    if (random.empty()) continue;
    if (is_one_byte_repeated(random) || random == before)
      return fail(ErrorKind::corrupt, "the security module's randomness is none");
    TRY(credit(random));
    credited += random.size();
    wipe(before);
    before = std::move(random);
  }
  wipe(before);
  if (credited < kSeedBytes)
    return fail(ErrorKind::unavailable, "the security module gave {} bytes of randomness, not {}", credited,
                kSeedBytes);
  return {};
}

Status credit_kernel(ByteView seed) {
  sys::Fd device(::open("/dev/random", O_RDWR | O_CLOEXEC));
  if (!device) return fail_errno("/dev/random");
  // struct rand_pool_info: bits of entropy, size in bytes, the bytes.
  Bytes pool(2 * sizeof(int) + seed.size());
  int head[] = {static_cast<int>(seed.size()) * kBitsPerByte, static_cast<int>(seed.size())};
  std::memcpy(pool.data(), head, sizeof head);
  std::copy(seed.begin(), seed.end(), pool.begin() + sizeof head);
  int done = ::ioctl(device.get(), RNDADDENTROPY, pool.data());
  wipe(pool);
  if (done != 0) return fail_errno("credit randomness");
  std::uint8_t probe = 0;
  if (::getrandom(&probe, sizeof probe, GRND_NONBLOCK) != sizeof probe)
    return fail_errno("the kernel's generator after it was seeded");
  return {};
}

}  // namespace cloister::boot
