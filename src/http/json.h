// Strict JSON (RFC 8259) for what peers send: bounded depth, no member twice, no exception. Every string on
// the heap is wiped when it is freed, because credentials and data keys travel in JSON. nlohmann/json.hpp is
// for .cc files only.
#pragma once

#include <string.h>

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cloister::http {

inline constexpr std::size_t kMaxJsonDepth = 16;  // nested objects and arrays

template <class T>
struct WipingAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = WipingAllocator<U>;
  };
  WipingAllocator() = default;
  template <class U>
  WipingAllocator(const WipingAllocator<U>&) noexcept {}  // NOLINT: allocators convert
  void deallocate(T* memory, std::size_t count) {
    ::explicit_bzero(static_cast<void*>(memory), count * sizeof(T));
    std::allocator<T>::deallocate(memory, count);
  }
};

// Strings up to 15 bytes live inside the object: no key is that short.
using JsonString = std::basic_string<char, std::char_traits<char>, WipingAllocator<char>>;
using Json = nlohmann::basic_json<std::map, std::vector, JsonString>;

// invalid: not JSON, not UTF-8, deeper than kMaxJsonDepth, or an object names a member twice. Never quotes
// the text.
Result<Json> parse_json(std::string_view text);

// The object's member as text, or null: absent, or of another type.
const JsonString* find_text(const Json& object, std::string_view name);
// {…} on one line; bytes that are not UTF-8 become U+FFFD.
JsonString format_json(const Json& value);

}  // namespace cloister::http
