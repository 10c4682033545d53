// Whatever bytes a hostile client sends on a request lane, up to the operation they ask for.
#include <algorithm>

#include "fuse/notification.h"
#include "fuse/reply_check.h"
#include "fuse/request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cloister;
  ByteView input(data, size);
  if (auto header = fuse::decode_header(input)) {
    auto body = fuse::decode_body(*header, input);
    // Names end inside the message, where the system call will look for their end.
    if (body && std::holds_alternative<fuse::Lookup>(*body)) {
      const auto& name = std::get<fuse::Lookup>(*body).name;
      if (name.c_str()[name.view().size()] != '\0') __builtin_trap();
    }
  }
  // The other direction: the same bytes as an enclave's reply or notification, judged by the client.
  static_cast<void>(fuse::check_notification(input).has_value());
  for (std::uint32_t opcode = 1; opcode <= FUSE_TMPFILE && size >= sizeof(fuse_out_header); ++opcode) {
    Bytes reply = to_bytes(input);
    std::uint64_t unique = 0;
    std::copy_n(input.begin() + 8, sizeof unique, reinterpret_cast<std::uint8_t*>(&unique));
    static_cast<void>(
        fuse::check_reply({.opcode = opcode, .unique = unique, .asked = 4096}, reply, {}).has_value());
  }
  return 0;
}
