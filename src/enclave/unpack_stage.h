// From ciphertext to files: this process decrypts, a child without keys unpacks, both at once over a pipe.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "package/keys.h"
#include "package/unpack.h"
#include "sandbox/wall.h"
#include "sys/dir.h"
#include "sys/process.h"

namespace cloister::enclave {

struct UnpackJob {
  std::string directory;  // an empty directory of the caller's mount namespace, owned by `user`
  std::string work_path;  // where the child may build a root of its own
  uid_t user = 0;
  package::UnpackLimits limits;
  sandbox::WallSet required_walls;
};

// The child. It is started before there is a key, so that its memory cannot hold one. Dropping it ends it.
class UnpackStage {
 public:
  static Result<UnpackStage> start(const UnpackJob& job);

  // package_fd: positioned at the first segment. Success means that the last segment was authenticated and
  // every file is in place. go_on: asked now and then; its error ends the work.
  Status decrypt(int package_fd, const package::StreamKey& key, const std::function<Status()>& go_on);

 private:
  UnpackStage(sys::Child child, sys::Fd content, sys::Fd report)
      : child_(std::move(child)), content_(std::move(content)), report_(std::move(report)) {}
  sys::Child child_;
  sys::Fd content_;
  sys::Fd report_;
};

}  // namespace cloister::enclave
