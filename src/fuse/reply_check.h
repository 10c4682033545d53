// What the client believes of an enclave's replies: pure functions over messages, between the socket and the
// kernel. The enclave's share server may be broken or broken into; this machine's kernel must not pay for it.
#pragma once

#include <linux/fuse.h>
#include <sys/types.h>

#include "base/bytes.h"

namespace cloister::fuse {

// How owners appear: as they are in the enclave, or all as one user of this machine.
struct Presentation {
  bool keep_owners = false;
  uid_t uid = 0;
  gid_t gid = 0;
};

// The request that a reply must fit.
struct Outstanding {
  std::uint32_t opcode = 0;
  std::uint64_t unique = 0;
  std::uint64_t asked = 0;  // bytes asked for or sent, where the opcode has such a number
};
// The request is this machine's kernel's: trusted, its header complete.
Outstanding outstanding_of(ByteView request);

// The errno value with which the request is answered on this side of the lane, or 0: attributes outside
// user.* exist for nobody. The kernel asks for security.capability before the first write to any file: that
// question need not travel.
int answered_here(ByteView request);

// Takes out of a request what the enclave need not know: pid, and ids unless owners are kept. A change of
// owner is then no change; the rest of its SETATTR remains.
void prepare_request(MutableByteView request, const Presentation& presentation);

// With the writeback cache the kernel reads the pages around what it writes, through whatever handle it has:
// an open for writing becomes one for reading too.
void widen_open(MutableByteView request);

// Rewrites the attributes in the reply as docs/formats/share.md says. invalid: not a reply to that request.
Status check_reply(const Outstanding& request, MutableByteView reply, const Presentation& presentation);

}  // namespace cloister::fuse
