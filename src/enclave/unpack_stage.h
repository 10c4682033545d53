// From ciphertext to files: this process decrypts, a child without keys unpacks, both at once over a pipe.
#pragma once

#include <sys/types.h>

#include <string>

#include "package/keys.h"
#include "package/unpack.h"
#include "sys/dir.h"

namespace cloister::enclave {

struct UnpackJob {
  int package_fd = -1;    // positioned at the first segment
  std::string directory;  // an empty directory of the caller's mount namespace, owned by `user`
  std::string work_path;  // where the child may build a root of its own
  uid_t user = 0;
  package::UnpackLimits limits;
};

// Success means that the last segment was authenticated and every file is in place. The key is not used
// again.
Status decrypt_and_unpack(const UnpackJob& job, const package::StreamKey& key);

}  // namespace cloister::enclave
