#include "fuse/init.h"

#include <unistd.h>

#include <algorithm>

#include "fuse/limits.h"
#include "fuse/wire.h"

namespace cloister::fuse {

namespace {

constexpr std::uint32_t kOldestMinor = 28;    // Linux 4.20: more than 32 pages in a request
constexpr std::size_t kShortInit = 16;        // bytes of fuse_init_in before Linux 5.17
constexpr std::uint16_t kMaxBackground = 64;  // read-aheads and releases that the kernel keeps in flight
constexpr std::uint16_t kCongestion = 48;

// Not among them, on purpose: PASSTHROUGH, DAX, POSIX_ACL, IDMAP (the enclave must not reach that deep into
// this kernel); CACHE_SYMLINKS (a link is judged at each use); DONT_MASK, SECURITY_CTX, SUBMOUNTS.
constexpr std::uint64_t kTaken =
    static_cast<std::uint32_t>(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                               FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
                               FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 |
                               FUSE_MAX_PAGES | FUSE_INIT_EXT) |
    FUSE_HAS_EXPIRE_ONLY;
// With others in the share, locks are kept where all see them. Alone in it, the kernel keeps them itself, and
// its writeback cache cannot hide from anybody what it holds back.
constexpr std::uint64_t kShared = FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
constexpr std::uint64_t kExclusive = FUSE_WRITEBACK_CACHE;

std::uint64_t offered(const fuse_init_in& in) {
  std::uint64_t high = (in.flags & FUSE_INIT_EXT) != 0 ? in.flags2 : 0;
  return in.flags | high << 32;
}

}  // namespace

Result<InitAnswer> answer_init(ByteView request, const InitOptions& options) {
  if (request.size() < sizeof(fuse_in_header) + kShortInit)
    return fail(ErrorKind::invalid, "a FUSE INIT cut short");
  auto header = load<fuse_in_header>(request);
  fuse_init_in in{};
  auto body = request.subspan(sizeof header);
  std::memcpy(&in, body.data(), std::min(body.size(), sizeof in));
  if (header.opcode != FUSE_INIT) return fail(ErrorKind::invalid, "the first FUSE request is not INIT");
  if (in.major != FUSE_KERNEL_VERSION || in.minor < kOldestMinor) {
    return fail(ErrorKind::unavailable, "this machine's FUSE protocol is {}.{}", in.major, in.minor);
  }
  auto flags = offered(in) & (kTaken | (options.exclusive ? kExclusive : kShared));
  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = FUSE_KERNEL_MINOR_VERSION;
  out.max_readahead = std::min(in.max_readahead, options.max_write);
  out.flags = static_cast<std::uint32_t>(flags);
  out.flags2 = static_cast<std::uint32_t>(flags >> 32);
  out.max_background = kMaxBackground;
  out.congestion_threshold = kCongestion;
  out.max_write = options.max_write;
  out.time_gran = 1;
  out.max_pages = static_cast<std::uint16_t>(
      std::max(1U, options.max_write / static_cast<std::uint32_t>(::sysconf(_SC_PAGESIZE))));
  fuse_out_header head{.len = sizeof head + sizeof out, .error = 0, .unique = header.unique};
  InitAnswer answer{.reply = to_bytes(bytes_of(head)), .expire_only = (flags & FUSE_HAS_EXPIRE_ONLY) != 0};
  append(answer.reply, bytes_of(out));
  return answer;
}

}  // namespace cloister::fuse
