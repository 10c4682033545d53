// Secret: key bytes that wipe themselves and have no way to be printed, compared with == or copied by
// accident.
#pragma once

#include <fmt/format.h>
#include <string.h>

#include "base/bytes.h"

namespace cloister {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::size_t size) : bytes_(size) {}
  // Takes a copy; wiping the source is the caller's business.
  explicit Secret(ByteView source) : bytes_(source.begin(), source.end()) {}
  // Takes the bytes over, so that no copy stays behind.
  explicit Secret(Bytes&& source) : bytes_(std::move(source)) {}

  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe();
      bytes_.swap(other.bytes_);
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { wipe(); }

  Secret copy() const { return Secret(view()); }
  ByteView view() const { return bytes_; }
  MutableByteView mutable_view() { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  void wipe() {
    if (!bytes_.empty()) ::explicit_bzero(bytes_.data(), bytes_.size());
    bytes_.clear();
  }

 private:
  Bytes bytes_;
};

// For secrets that live in plain structs and strings (messages between processes, passwords).
inline void wipe(MutableByteView bytes) {
  if (!bytes.empty()) ::explicit_bzero(bytes.data(), bytes.size());
}
inline void wipe(std::string& text) {
  if (!text.empty()) ::explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace cloister

// A secret in a format call is a defect: it does not compile.
template <>
struct fmt::formatter<cloister::Secret> {
  formatter() = delete;
};
