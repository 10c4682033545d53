// ScriptedStream: a stream in memory for tests and fuzzers. Gives the bytes it was made with, a few at a
// time, then an end; records what is written.
#pragma once

#include <algorithm>
#include <string>

#include "sys/stream.h"

namespace cloister::http {

class ScriptedStream final : public sys::Stream {
 public:
  // piece: bytes that one read returns at most. written, if given, outlives the stream.
  explicit ScriptedStream(std::string input, std::size_t piece = SIZE_MAX, std::string* written = nullptr)
      : input_(std::move(input)), piece_(piece), written_(written) {}

  Result<std::size_t> read_some(MutableByteView buffer) override {
    auto n = std::min({buffer.size(), piece_, input_.size() - at_});
    std::copy_n(input_.begin() + static_cast<std::ptrdiff_t>(at_), n, buffer.begin());
    at_ += n;
    return n;
  }
  Status write_all(ByteView bytes) override {
    if (written_ != nullptr) *written_ += as_text(bytes);
    return {};
  }
  Status shutdown_write() override { return {}; }
  void set_deadline(sys::Deadline) override {}
  int descriptor() const override { return -1; }

  std::string_view unread() const { return std::string_view(input_).substr(at_); }

 private:
  std::string input_;
  std::size_t piece_;
  std::string* written_;
  std::size_t at_ = 0;
};

}  // namespace cloister::http
