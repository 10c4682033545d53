// A split virtqueue, the device's side (Virtual I/O Device 1.2, section 2.7). The guest writes the rings
// while they are read, so every value is read once and checked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "emulator/guest_memory.h"

namespace cloister::emulator {

inline constexpr std::uint32_t kMaxQueueSize = 32768;  // descriptors; the specification's bound

// One chain of buffers, in the guest's memory.
struct Chain {
  std::uint16_t head = 0;
  std::vector<MutableByteView> from_driver;
  std::vector<MutableByteView> to_driver;
};

// Where the three rings are, as addresses of the front end.
struct RingAddresses {
  std::uint64_t descriptors = 0;
  std::uint64_t used = 0;
  std::uint64_t available = 0;
};

// Not thread-safe. The memory must outlive it.
class Virtqueue {
 public:
  explicit Virtqueue(const GuestMemory& memory) : memory_(memory) {}

  // invalid: not a power of two up to kMaxQueueSize.
  Status set_size(std::uint32_t size);
  void set_addresses(const RingAddresses& addresses) { addresses_ = addresses; }
  void set_base(std::uint16_t index) { next_ = index; }
  std::uint16_t base() const { return next_; }

  // The next chain that the driver has made available; nullopt: none. invalid: a chain that is too long, a
  // loop, or not in the guest's memory.
  Result<std::optional<Chain>> take();
  // Gives a chain back with so many bytes written to it.
  Status give_back(std::uint16_t head, std::uint32_t written);

 private:
  Result<Chain> follow(std::uint16_t head) const;
  const GuestMemory& memory_;
  std::uint32_t size_ = 0;
  RingAddresses addresses_;
  std::uint16_t next_ = 0;  // the next entry of the available ring to read
};

}  // namespace cloister::emulator
