// A hostile client and a hostile job against one server, as the input says (share_program.h).
// What ends a run: a change of what lies beside the share, or its content in a reply; a reply that the
// client's own check refuses; more inodes or handles than allowed; a POSIX lock that is granted or refused
// against share_locks.h; a device, or a job's fifo or socket in a reply; anything left after DESTROY; a
// leaked descriptor.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "fuse/reply_check.h"
#include "fuse/wire.h"
#include "share/server.h"
#include "share_locks.h"
#include "share_program.h"

namespace {

using namespace cloister;
using namespace cloister::share_fuzz;

constexpr std::size_t kMaxSteps = 64;
constexpr share::ServerOptions limits() {
  share::ServerOptions out;
  out.max_inodes = 12;  // within reach of a short program
  out.max_handles = 5;
  out.max_lock_owners = 3;
  return out;
}

std::string base;
std::array<std::uint8_t, 32> secret;
struct stat canary_then{}, base_then{};

[[noreturn]] void violated(const char* what) {
  std::fprintf(stderr, "violated: %s\n", what);
  __builtin_trap();
}

// Unseen by the fuzzer, which would learn what it compares with and send it.
__attribute__((no_sanitize("coverage"))) bool holds(ByteView bytes, ByteView wanted) {
  for (std::size_t at = 0; at + wanted.size() <= bytes.size(); ++at) {
    std::size_t same = 0;
    while (same < wanted.size() && bytes[at + same] == wanted[same]) ++same;
    if (same == wanted.size()) return true;
  }
  return false;
}

bool same(const struct stat& a, const struct stat& b) {
  auto time = [](const timespec& x, const timespec& y) {
    return x.tv_sec == y.tv_sec && x.tv_nsec == y.tv_nsec;
  };
  return time(a.st_atim, b.st_atim) && time(a.st_mtim, b.st_mtim) && time(a.st_ctim, b.st_ctim) &&
         a.st_size == b.st_size && a.st_nlink == b.st_nlink && a.st_mode == b.st_mode;
}

struct stat look(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) violated("something beside the share is gone");
  return info;
}

class Attack {
 public:
  explicit Attack(ByteView bytes) : program_(bytes), reply_(room().data(), room().size()) {
    auto options = limits();
    options.exclusive = bytes.size() % 2 == 1;  // the one choice that is made before the first step
    server_ = share::Server::create(sys::Dir::open(base + "/share").value(), std::move(options)).value();
  }
  void run() {
    for (std::size_t step = 0; step < kMaxSteps && !program_.ended(); ++step) {
      auto what = program_.byte();
      if (what < 0xc0) {
        auto opcode = kOpcodes[what % std::size(kOpcodes)];
        ask(opcode, program_.one_of(nodes_), body_of(opcode));
      } else if (what < 0xf0) {
        act_as_job(what % 12);
      } else if (what < 0xfe) {
        send(to_bytes(program_.bytes(program_.byte())));
      } else {
        auto who = program_.byte();
        server_->know({.mounts = (who & 1) != 0 ? 2U : 1U, .jobs_since = (who & 2) != 0 ? 0 : share::kNever});
      }
      auto stats = server_->stats();
      if (stats.inodes > limits().max_inodes || stats.handles > limits().max_handles) violated("a limit");
    }
    ask(FUSE_DESTROY, FUSE_ROOT_ID, {});
    auto stats = server_->stats();
    if (stats.inodes != 1 || stats.handles != 0 || stats.locks != 0) violated("something outlives DESTROY");
  }

 private:
  static Bytes& room() {
    static Bytes room(fuse::kMaxMessage);
    return room;
  }
  void ask(std::uint32_t opcode, std::uint64_t node, const Bytes& body) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = unique_ += 2;
    header.nodeid = node;
    auto message = to_bytes(fuse::bytes_of(header));
    append(message, body);
    send(message);
  }
  void send(const Bytes& message) {
    auto size = server_->answer(message, reply_);
    if (!size || *size == 0) return;
    auto reply = reply_.first(*size);
    auto outstanding = fuse::outstanding_of(message);
    if (!fuse::check_reply(outstanding, reply, {})) violated("a reply that the client refuses");
    auto body = reply.subspan(sizeof(fuse_out_header));
    if (holds(body, secret)) violated("the canary's content is told");
    if (outstanding.opcode == FUSE_READLINK) check_target(body);
    check_locks(message, -fuse::load<fuse_out_header>(reply).error, body);
    if (!body.empty()) learn(outstanding.opcode, body);
    // It may have been made and is only not told: for lack of a number to give.
    if (outstanding.opcode == FUSE_MKNOD && body.empty()) made_untold_ = true;
  }
  void check_locks(ByteView request, int error, ByteView body) {
    auto header = fuse::load<fuse_in_header>(request);
    auto in = request.subspan(sizeof header);
    if (header.opcode == FUSE_DESTROY && error == 0) return locks_.clear();
    if (header.opcode == FUSE_FLUSH && error == 0)
      return locks_.closed(header.nodeid, fuse::load<fuse_flush_in>(in).lock_owner);
    bool sets = header.opcode == FUSE_SETLK;
    if (!sets && header.opcode != FUSE_GETLK) return;
    if (error != 0 && !(sets && error == EAGAIN)) return;
    auto asked = fuse::load<fuse_lk_in>(in);
    if (asked.lk_flags != 0) return;  // flock(2)'s are not modelled
    bool refused = sets ? error == EAGAIN : fuse::load<fuse_lk_out>(body).lk.type != F_UNLCK;
    bool in_the_way = locks_.knows(header.nodeid) && asked.lk.type != F_UNLCK &&
                      locks_.conflicts(header.nodeid, asked.owner, asked.lk);
    if (locks_.knows(header.nodeid) && refused != in_the_way) violated("a lock is another owner's");
    if (sets && error == 0) locks_.granted(header.nodeid, asked.owner, asked.lk);
  }
  static void check_target(ByteView target) {
    for (std::size_t i = kNeverTold; i < std::size(kJobTargets); ++i) {
      std::string_view forbidden = kJobTargets[i];
      if (target.size() == forbidden.size() && holds(target, as_bytes(forbidden)))
        violated("a job's link leads out");
    }
  }
  // Node numbers and handles, to be used and abused.
  void learn(std::uint32_t opcode, ByteView body) {
    bool opens = opcode == FUSE_OPEN || opcode == FUSE_OPENDIR;
    bool creates = opcode == FUSE_CREATE || opcode == FUSE_TMPFILE;
    bool names = opcode == FUSE_LOOKUP || opcode == FUSE_MKNOD || opcode == FUSE_MKDIR ||
                 opcode == FUSE_SYMLINK || opcode == FUSE_LINK;
    if (names || creates) {
      auto entry = fuse::load<fuse_entry_out>(body);
      nodes_.push_back(entry.nodeid);
      locks_.learn(entry.nodeid, entry.attr.ino);
      if (opcode == FUSE_MKNOD) made_.insert(entry.attr.ino);
      bool special = S_ISFIFO(entry.attr.mode) || S_ISSOCK(entry.attr.mode);
      if (special && !made_untold_ && !made_.contains(entry.attr.ino)) violated("a job's fifo is told");
    }
    if (opens || creates)
      handles_.push_back(fuse::load<fuse_open_out>(body, opens ? 0 : sizeof(fuse_entry_out)).fh);
  }

  Bytes text(const std::string& value) {
    auto out = to_bytes(as_bytes(value));
    out.push_back(0);
    return out;
  }
  template <class T>
  Bytes with(const T& head, std::initializer_list<std::string> names = {}) {
    auto out = to_bytes(fuse::bytes_of(head));
    for (const auto& name : names) append(out, text(name));
    return out;
  }
  std::uint64_t handle() { return program_.one_of(handles_); }
  std::uint64_t node() { return program_.one_of(nodes_); }

  Bytes body_of(std::uint32_t opcode) {
    auto& in = program_;
    switch (opcode) {
      case FUSE_LOOKUP:
      case FUSE_UNLINK:
      case FUSE_RMDIR:
      case FUSE_REMOVEXATTR:
        return text(in.name());
      case FUSE_FORGET:
        return with(fuse_forget_in{.nlookup = in.number()});
      case FUSE_BATCH_FORGET: {
        auto out = with(fuse_batch_forget_in{.count = in.number32()});
        for (int i = 0; i < 2; ++i)
          append(out, with(fuse_forget_one{.nodeid = node(), .nlookup = in.number()}));
        return out;
      }
      case FUSE_GETATTR:
        return with(fuse_getattr_in{});
      case FUSE_SETATTR:
        return with(fuse_setattr_in{.valid = in.number32() & ~std::uint32_t{FATTR_UID | FATTR_GID},
                                    .fh = handle(),
                                    .size = in.number(),
                                    .mtime = in.number(),
                                    .mtimensec = in.number32(),
                                    .mode = in.number32()});
      case FUSE_SYMLINK: {
        auto out = text(in.name());
        append(out, text(in.pick(kClientTargets)));
        return out;
      }
      case FUSE_MKNOD:
        return with(fuse_mknod_in{.mode = in.number32(), .rdev = 0x103}, {in.name()});
      case FUSE_MKDIR:
        return with(fuse_mkdir_in{.mode = in.number32()}, {in.name()});
      case FUSE_RENAME:
        return with(fuse_rename_in{.newdir = node()}, {in.name(), in.name()});
      case FUSE_RENAME2:
        return with(fuse_rename2_in{.newdir = node(), .flags = in.number32()}, {in.name(), in.name()});
      case FUSE_LINK:
        return with(fuse_link_in{.oldnodeid = node()}, {in.name()});
      case FUSE_OPEN:
      case FUSE_OPENDIR:
        return with(fuse_open_in{.flags = in.number32()});
      case FUSE_CREATE:
      case FUSE_TMPFILE:
        return with(fuse_create_in{.flags = in.number32(), .mode = in.number32()}, {in.name()});
      case FUSE_READ:
      case FUSE_READDIR:
      case FUSE_READDIRPLUS:
        return with(fuse_read_in{.fh = handle(), .offset = in.number(), .size = in.number32()});
      case FUSE_WRITE: {
        auto data = in.bytes(in.byte());
        auto size = in.byte() < 0xf0 ? static_cast<std::uint32_t>(data.size()) : in.number32();
        auto out =
            with(fuse_write_in{.fh = handle(), .offset = in.number(), .size = size, .flags = in.number32()});
        append(out, data);
        return out;
      }
      case FUSE_RELEASE:
      case FUSE_RELEASEDIR:
        return with(fuse_release_in{.fh = handle()});
      case FUSE_FSYNC:
      case FUSE_FSYNCDIR:
        return with(fuse_fsync_in{.fh = handle()});
      case FUSE_SETXATTR: {
        std::uint32_t head[2] = {in.byte() < 0xf0 ? 4 : in.number32(), in.number32()};
        auto out = with(head, {in.name()});
        append(out, Bytes(4));
        return out;
      }
      case FUSE_GETXATTR:
        return with(fuse_getxattr_in{.size = in.number32()}, {in.name()});
      case FUSE_LISTXATTR:
        return with(fuse_getxattr_in{.size = in.number32()});
      case FUSE_FALLOCATE:
        return with(fuse_fallocate_in{
            .fh = handle(), .offset = in.number(), .length = in.number(), .mode = in.number32()});
      case FUSE_FLUSH:
        return with(fuse_flush_in{.fh = handle(), .lock_owner = in.number()});
      case FUSE_GETLK:
      case FUSE_SETLK:
      case FUSE_SETLKW:
        return with(fuse_lk_in{
            .fh = handle(),
            .owner = in.number(),
            .lk = {.start = in.number(), .end = in.number(), .type = in.byte() % 4U, .pid = in.number32()},
            .lk_flags = in.byte() % 3U});
      case fuse::kOpStatx:
        return with(fuse::StatxIn{});
      case FUSE_LSEEK:
        return with(fuse_lseek_in{.fh = handle(), .offset = in.number(), .whence = in.number32()});
      case FUSE_COPY_FILE_RANGE:
        return with(fuse_copy_file_range_in{.fh_in = handle(),
                                            .off_in = in.number(),
                                            .nodeid_out = node(),
                                            .fh_out = handle(),
                                            .off_out = in.number(),
                                            .len = in.number()});
      default:
        return {};
    }
  }

  // Through no link: a job follows links in a root of its own, which is not ours.
  std::string path() {
    std::string below = program_.pick(kPaths);
    for (auto slash = below.find('/'); slash != std::string::npos; slash = below.find('/', slash + 1)) {
      if (std::filesystem::is_symlink(base + "/share/" + below.substr(0, slash)))
        return base + "/share/none/none";
    }
    return base + "/share/" + below;
  }

  void act_as_job(unsigned action) {
    auto target = path();
    std::error_code ignored;
    switch (action) {
      case 0:
        sys::Fd(::open(target.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
        return;
      case 1:
        ::mkdir(target.c_str(), 0755);
        return;
      case 2:
      case 3:
        static_cast<void>(!::symlink(program_.pick(kJobTargets), target.c_str()));
        return;
      case 4:
        ::mkfifo(target.c_str(), 0666);
        return;
      case 5:
        ::mknod(target.c_str(), S_IFSOCK | 0666, 0);
        return;
      case 6:
        ::rename(target.c_str(), path().c_str());
        return;
      case 7:
        ::renameat2(AT_FDCWD, target.c_str(), AT_FDCWD, path().c_str(), RENAME_EXCHANGE);
        return;
      case 8:
        static_cast<void>(!::link(target.c_str(), path().c_str()));
        return;
      case 9:
        std::filesystem::remove_all(target, ignored);
        return;
      case 10:
        ::fchmodat(AT_FDCWD, target.c_str(), static_cast<mode_t>(program_.number() & 07777),
                   AT_SYMLINK_NOFOLLOW);
        return;
      default:
        if (!server_->invalidate_changed()) violated("nobody to tell, and still an error");
    }
  }

  Program program_;
  MutableByteView reply_;
  std::unique_ptr<share::Server> server_;
  std::vector<std::uint64_t> nodes_{FUSE_ROOT_ID};
  std::vector<std::uint64_t> handles_;
  LockModel locks_;
  std::set<std::uint64_t> made_;  // inodes that the client made with MKNOD
  bool made_untold_ = false;
  std::uint64_t unique_ = 0;
};

int lowest_free_descriptor() {
  int fd = ::dup(0);
  ::close(fd);
  return fd;
}

}  // namespace

// As root, on file systems of its own that vanish with the process and are small: FALLOCATE really allocates.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  base = "/dev/shm";
  bool own = ::unshare(CLONE_NEWNS) == 0 &&
             ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
             ::mount("tmpfs", base.c_str(), "tmpfs", 0, "size=1m") == 0;
  if (!own) {
    base = "/dev/shm/cloister-fuzz.XXXXXX";
    if (::mkdtemp(base.data()) == nullptr) violated("no directory to work in");
    std::atexit([] { std::filesystem::remove_all(base); });
  }
  if (::mkdir((base + "/share").c_str(), 0755) != 0) violated("no share");
  if (own && ::mount("tmpfs", (base + "/share").c_str(), "tmpfs", 0, "size=8m") != 0) violated("no tmpfs");
  if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size()))
    violated("no secret");
  {
    sys::Fd canary(::open((base + "/canary").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    if (::write(canary.get(), secret.data(), secret.size()) < 0) violated("no canary");
  }
  canary_then = look(base + "/canary");
  base_then = look(base);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(base + "/share"))
    std::filesystem::remove_all(entry.path(), ignored);
  auto free_before = lowest_free_descriptor();
  Attack({data, size}).run();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(base + "/share", ignored))
    if (entry.is_block_file(ignored) || entry.is_character_file(ignored)) violated("a device was made");
  if (lowest_free_descriptor() != free_before) violated("a descriptor stays open");
  if (!same(look(base + "/canary"), canary_then) || !same(look(base), base_then))
    violated("what lies beside the share");
  return 0;
}
