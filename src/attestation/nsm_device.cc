#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include "attestation/nsm.h"
#include "sys/fd.h"

namespace cloister::attestation {

namespace {

// linux/nsm.h, which many hosts do not have.
struct NsmVector {
  std::uint64_t address;
  std::uint64_t size;  // of the response: capacity in, bytes written out
};
struct NsmRaw {
  NsmVector request;
  NsmVector response;
};
constexpr unsigned kNsmMagic = 0x0A;
constexpr auto kNsmRaw = _IOWR(kNsmMagic, 0x0, NsmRaw);

// The driver serialises the calls.
class DeviceFile final : public NsmDevice {
 public:
  explicit DeviceFile(sys::Fd fd) : fd_(std::move(fd)) {}

  Result<Bytes> exchange(ByteView request) override {
    if (request.size() > kMaxNsmRequest) {
      return fail(ErrorKind::invalid, "NSM: a request of {} bytes is too large", request.size());
    }
    Bytes response(kMaxNsmResponse);
    NsmRaw raw{.request = {reinterpret_cast<std::uintptr_t>(request.data()), request.size()},
               .response = {reinterpret_cast<std::uintptr_t>(response.data()), response.size()}};
    // No second try, whatever the error: extending twice is not extending once.
    if (::ioctl(fd_.get(), kNsmRaw, &raw) < 0) return fail_errno("NSM");
    if (raw.response.size > response.size())
      return fail(ErrorKind::corrupt, "NSM: an impossible response size");
    response.resize(static_cast<std::size_t>(raw.response.size));
    return response;
  }

  int descriptor() const override { return fd_.get(); }

 private:
  sys::Fd fd_;
};

}  // namespace

Result<std::unique_ptr<NsmDevice>> open_nsm_device(const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    auto error = fail_errno(path);
    return fail(ErrorKind::unavailable, "no Nitro Secure Module: {}", error.error().message());
  }
  return std::make_unique<DeviceFile>(std::move(fd));
}

}  // namespace cloister::attestation
