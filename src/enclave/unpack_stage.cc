#include "enclave/unpack_stage.h"

#include <signal.h>
#include <unistd.h>

#include "enclave/messages.h"
#include "package/stream_reader.h"
#include "sandbox/contain.h"
#include "sandbox/namespaces.h"
#include "sandbox/root.h"
#include "sys/file.h"

namespace cloister::enclave {

namespace {

constexpr const char* kInside = "/app";
constexpr sys::milliseconds kUnpackerEnd = sys::seconds(30);  // after the last byte

// In the child: nothing but the target directory, no key, no capability, a handful of system calls.
Status unpack_inside(const UnpackJob& job, int input, int report) {
  TRY(sandbox::make_mounts_private());
  sandbox::RootPlan plan;
  plan.devices = false;
  plan.proc = false;
  plan.mounts.push_back(
      {.kind = sandbox::Mount::Kind::bind, .target = kInside, .source = job.directory, .read_only = false});
  TRY(sandbox::enter_root(TRY(sandbox::assemble_root(plan, job.work_path))));
  sandbox::Walls walls;
  walls.profile = sandbox::Profile::unpacker;
  walls.uid = walls.gid = job.user;
  walls.landlock = std::vector<sandbox::LandlockRule>{{kInside, sandbox::kRead | sandbox::kWrite}};
  walls.limits.open_files = 64;
  walls.keep_fds = {input, report};
  walls.minimum.add(job.required_walls);
  TRY(sandbox::contain(walls));
  auto target = TRY(sys::Dir::open(kInside));
  TRY(package::unpack_stream(input, target, job.limits));
  return {};
}

int unpacker_main(const UnpackJob& job, int input, int report) {
  WireError outcome;
  if (auto done = unpack_inside(job, input, report); !done) outcome.set(done.error());
  ByteView bytes(reinterpret_cast<const std::uint8_t*>(&outcome), sizeof outcome);
  return sys::write_all(report, bytes, "report") ? 0 : 1;
}

Status read_outcome(int report) {
  WireError outcome;
  auto bytes = TRY(sys::read_all(report, sizeof outcome, "unpacker"));
  if (bytes.size() != sizeof outcome) return fail(ErrorKind::internal, "the unpacker died");
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::uint8_t*>(&outcome));
  if (outcome.is_error()) return std::unexpected(outcome.to_error());
  return {};
}

}  // namespace

Result<UnpackStage> UnpackStage::start(const UnpackJob& job) {
  auto content = TRY(sys::make_pipe());
  auto report = TRY(sys::make_pipe());
  auto child = TRY(sys::fork_child([&] { return unpacker_main(job, content.read.get(), report.write.get()); },
                                   sandbox::kHelperNamespaces));
  return UnpackStage(std::move(child), std::move(content.write), std::move(report.read));
}

Status UnpackStage::decrypt(int package_fd, const package::StreamKey& key,
                            const std::function<Status()>& go_on) {
  Status stopped;
  auto decrypted = package::decrypt_segments(package_fd, key, [&](ByteView plaintext) -> Status {
    if (stopped = go_on(); !stopped) return stopped;
    return sys::write_all(content_.get(), plaintext, "unpacker");
  });
  content_.reset();
  TRY(std::move(stopped));
  // A corrupt package is the root cause of whatever the unpacker says about it; a broken pipe is the other
  // way round.
  if (!decrypted && decrypted.error().kind() == ErrorKind::corrupt) return std::unexpected(decrypted.error());
  auto outcome = read_outcome(report_.get());
  if (!outcome) return outcome;
  if (!decrypted) return std::unexpected(decrypted.error());
  TRY(child_.wait(sys::Deadline::after(kUnpackerEnd)));
  return {};
}

}  // namespace cloister::enclave
