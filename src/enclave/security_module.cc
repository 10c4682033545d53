#include "enclave/security_module.h"

#include <algorithm>

#include "enclave/messages.h"

namespace cloister::enclave {

Status run_security_module(const sys::MessageSocket& peer, attestation::NsmDevice& device) {
  for (;;) {
    ModuleRequest request;
    TRY(peer.receive(request));
    ModuleReply reply;
    if (request.size > sizeof request.bytes) {
      reply.error.set(Error(ErrorKind::invalid, "a request larger than its message"));
    } else if (auto answer = device.exchange(ByteView(request.bytes).first(request.size)); !answer) {
      reply.error.set(answer.error());
    } else if (answer->size() > sizeof reply.bytes) {
      reply.error.set(Error(ErrorKind::corrupt, "the security module answers with too much"));
    } else {
      std::copy(answer->begin(), answer->end(), reply.bytes);
      reply.size = static_cast<std::uint32_t>(answer->size());
    }
    TRY(peer.send(reply));
  }
}

Result<Bytes> RemoteNsm::exchange(ByteView request) {
  std::lock_guard lock(mutex_);
  if (lost_) return fail(ErrorKind::unavailable, "the security module's process is gone");
  return ask(request);
}

Result<Bytes> RemoteNsm::ask(ByteView request) {
  ModuleRequest message;
  if (request.size() > sizeof message.bytes)
    return fail(ErrorKind::invalid, "a request of {} bytes; the module takes {}", request.size(),
                sizeof message.bytes);
  std::copy(request.begin(), request.end(), message.bytes);
  message.size = static_cast<std::uint32_t>(request.size());
  ModuleReply reply;
  auto deadline = sys::Deadline::after(kModuleTimeout);
  // A late answer would be taken for that of the next request, so there is none.
  lost_ = true;
  TRY(module_.send(message, {}, deadline).context("security module"));
  TRY(module_.receive(reply, 0, deadline).context("security module"));
  lost_ = false;
  if (reply.error.is_error()) return std::unexpected(reply.error.to_error());
  if (reply.size > sizeof reply.bytes)
    return fail(ErrorKind::corrupt, "the security module's process answers with {} bytes", reply.size);
  return to_bytes(ByteView(reply.bytes).first(reply.size));
}

}  // namespace cloister::enclave
