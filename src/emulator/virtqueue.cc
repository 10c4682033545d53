#include "emulator/virtqueue.h"

#include <atomic>
#include <bit>
#include <cstring>

namespace cloister::emulator {

namespace {

static_assert(std::endian::native == std::endian::little, "virtio 1 rings are little-endian");

// Entries of the rings (linux/virtio_ring.h, which is not for C++), and their headers: u16 flags, u16 index.
struct Descriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;
};
struct UsedElement {
  std::uint32_t head = 0;
  std::uint32_t written = 0;
};
constexpr std::uint16_t kNext = 1;      // VRING_DESC_F_NEXT
constexpr std::uint16_t kWrite = 2;     // VRING_DESC_F_WRITE: the device's to write
constexpr std::uint16_t kIndirect = 4;  // VRING_DESC_F_INDIRECT

constexpr std::size_t kRingHeader = 4;
constexpr std::size_t kRingIndex = 2;

Result<std::uint16_t*> counter_at(const GuestMemory& memory, std::uint64_t ring) {
  auto view = TRY(memory.at_user(ring + kRingIndex, sizeof(std::uint16_t)));
  if (reinterpret_cast<std::uintptr_t>(view.data()) % sizeof(std::uint16_t) != 0)
    return fail(ErrorKind::invalid, "a ring is not aligned");
  return reinterpret_cast<std::uint16_t*>(view.data());
}

template <class T>
T read_once(MutableByteView from) {
  T out;
  std::memcpy(&out, from.data(), sizeof out);
  return out;
}

}  // namespace

Status Virtqueue::set_size(std::uint32_t size) {
  if (size == 0 || size > kMaxQueueSize || !std::has_single_bit(size))
    return fail(ErrorKind::invalid, "a queue of {} descriptors", size);
  size_ = size;
  return {};
}

Result<std::optional<Chain>> Virtqueue::take() {
  if (size_ == 0) return fail(ErrorKind::invalid, "a queue without a size");
  auto* index = TRY(counter_at(memory_, addresses_.available));
  if (std::atomic_ref(*index).load(std::memory_order_acquire) == next_) return std::optional<Chain>();
  auto entry = addresses_.available + kRingHeader + sizeof(std::uint16_t) * (next_ % size_);
  auto head = read_once<std::uint16_t>(TRY(memory_.at_user(entry, sizeof(std::uint16_t))));
  auto chain = TRY(follow(head));
  ++next_;
  return std::optional(std::move(chain));
}

Result<Chain> Virtqueue::follow(std::uint16_t head) const {
  Chain out{.head = head, .from_driver = {}, .to_driver = {}};
  auto at = head;
  for (std::uint32_t count = 0; count < size_; ++count) {
    if (at >= size_) return fail(ErrorKind::invalid, "descriptor {} of {}", at, size_);
    auto where = addresses_.descriptors + sizeof(Descriptor) * at;
    auto descriptor = read_once<Descriptor>(TRY(memory_.at_user(where, sizeof(Descriptor))));
    if ((descriptor.flags & kIndirect) != 0)
      return fail(ErrorKind::invalid, "an indirect descriptor, which was not offered");
    auto buffer = TRY(memory_.at_guest(descriptor.address, descriptor.length));
    bool ours = (descriptor.flags & kWrite) != 0;
    (ours ? out.to_driver : out.from_driver).push_back(buffer);
    if ((descriptor.flags & kNext) == 0) return out;
    at = descriptor.next;
  }
  return fail(ErrorKind::invalid, "a chain that does not end");
}

Status Virtqueue::give_back(std::uint16_t head, std::uint32_t written) {
  auto* index = TRY(counter_at(memory_, addresses_.used));
  auto at = std::atomic_ref(*index).load(std::memory_order_relaxed);
  UsedElement element{head, written};
  auto where = addresses_.used + kRingHeader + sizeof element * (at % size_);
  auto slot = TRY(memory_.at_user(where, sizeof element));
  std::memcpy(slot.data(), &element, sizeof element);
  std::atomic_ref(*index).store(static_cast<std::uint16_t>(at + 1), std::memory_order_release);
  return {};
}

}  // namespace cloister::emulator
