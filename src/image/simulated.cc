#include "image/simulated.h"

#include <fcntl.h>

#include <algorithm>
#include <initializer_list>

#include "sys/fd.h"

namespace cloister::image {

namespace {

constexpr std::size_t kPcrSize = 48;  // bytes of SHA-384

attestation::Pcr simulated_pcr(unsigned index, std::initializer_list<const crypto::Sha384*> parts) {
  Bytes input = to_bytes(fmt::format("cloister/simulated/pcr{}/v1", index));
  for (const auto* part : parts) append(input, *part);
  auto digest = crypto::sha384(input);
  Bytes pcr = to_bytes(attestation::kSimulatedPrefix);
  append(pcr, ByteView(digest).first(kPcrSize - pcr.size()));
  return pcr;
}

Result<crypto::Sha384> measure(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  auto digest = TRY(crypto::digest_file(crypto::Hash::sha384, fd.get()).context(path));
  crypto::Sha384 out{};
  std::copy(digest.begin(), digest.end(), out.begin());
  return out;
}

}  // namespace

Result<SimulatedParts> measure_parts(const std::string& supervisor, const std::string& trust,
                                     const std::string& runtime) {
  return SimulatedParts{TRY(measure(supervisor)), TRY(measure(trust)), TRY(measure(runtime))};
}

attestation::Measurements simulated_measurements(const SimulatedParts& parts) {
  attestation::Measurements out;
  out.pcrs[0] = simulated_pcr(0, {&parts.supervisor, &parts.trust, &parts.runtime});
  out.pcrs[1] = simulated_pcr(1, {&parts.supervisor, &parts.trust});
  out.pcrs[2] = simulated_pcr(2, {&parts.runtime});
  return out;
}

}  // namespace cloister::image
