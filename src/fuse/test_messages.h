// For tests: FUSE requests made by hand.
#pragma once

#include <linux/fuse.h>

#include <initializer_list>
#include <string_view>

#include "base/bytes.h"
#include "fuse/wire.h"

namespace cloister::fuse {

inline Bytes name_bytes(std::string_view name) {
  auto out = to_bytes(name);
  out.push_back(0);
  return out;
}

inline Bytes make_request(std::uint32_t opcode, std::uint64_t node, const Bytes& body,
                          std::uint64_t unique = 2) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  header.unique = unique;
  header.nodeid = node;
  auto out = to_bytes(bytes_of(header));
  append(out, body);
  return out;
}

template <class T>
Bytes with(const T& head, std::initializer_list<std::string_view> names = {}) {
  auto out = to_bytes(bytes_of(head));
  for (auto name : names) append(out, name_bytes(name));
  return out;
}

}  // namespace cloister::fuse
