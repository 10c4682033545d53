#include "host/write_back.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "sys/fd.h"
#include "sys/file.h"

namespace cloister::host {

namespace {

constexpr sys::milliseconds kWritten = sys::seconds(2);  // a lock that somebody waits for is a request, too
constexpr sys::milliseconds kLook{1};
constexpr std::size_t kMaxCount = 64;  // bytes of the kernel's answer

}  // namespace

bool await_no_request(const std::string& waiting, sys::Deadline deadline) {
  for (;;) {
    auto count = sys::read_file(waiting, kMaxCount);
    if (!count) return false;
    if (as_text(*count) == "0\n") return true;
    if (deadline.passed()) return false;
    std::this_thread::sleep_for(kLook);
  }
}

// Before Linux 6.16 a page of a FUSE mount counts as written when its WRITE was queued: syncfs(2) may return
// while the pump still carries them.
Status write_back(const std::string& directory) {
  sys::Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  if (!folder) return {};  // it ended meanwhile, or is another user's: nothing that we could have written
  if (::syncfs(folder.get()) != 0) return fail_errno("write back " + directory);
  struct statx info{};
  if (::statx(folder.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &info) != 0) return {};
  await_no_request("/sys/fs/fuse/connections/" + std::to_string(info.stx_dev_minor) + "/waiting",
                   sys::Deadline::after(kWritten));
  return {};
}

}  // namespace cloister::host
