#include "http/input.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cloister::http {

namespace {

constexpr std::string_view kBlankLine = "\r\n\r\n";

Taken<std::size_t> read_some(sys::Stream& stream, MutableByteView into) {
  auto n = stream.read_some(into);
  if (!n) return std::unexpected(Refusal(std::move(n).error(), 408));
  return *n;
}

std::unexpected<Refusal> cut_short() {
  return refuse(400, ErrorKind::unavailable, "the peer closed in the middle of a message");
}

std::unexpected<Refusal> head_too_long() {
  return refuse(431, ErrorKind::exhausted, "message head is longer than {} bytes", kMaxHeaderBytes);
}

// Appends without leaving an unwiped copy behind when the string grows.
void append_wiping(std::string& out, std::string_view more) {
  if (out.capacity() - out.size() < more.size()) {
    std::string larger;
    larger.reserve(std::max(out.capacity() * 2, out.size() + more.size()));
    larger = out;
    wipe(out);
    out.swap(larger);
  }
  out += more;
}

}  // namespace

Taken<bool> Input::fill() {
  auto old_end = end_;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  wipe(MutableByteView(buffer_).subspan(end_, old_end - end_));
  if (end_ == buffer_.size()) return refuse(400, ErrorKind::exhausted, "input buffer is full");
  auto n = TRY(read_some(stream_, MutableByteView(buffer_).subspan(end_)));
  end_ += n;
  return n > 0;
}

Taken<bool> Input::await() {
  if (begin_ < end_) return true;
  return fill();
}

Taken<std::string> Input::head() {
  for (;;) {
    auto end = buffered().substr(0, kMaxHeaderBytes).find(kBlankLine);
    if (end != std::string_view::npos) {
      std::string out(buffered().substr(0, end + kBlankLine.size()));
      consume(out.size());
      return out;
    }
    if (buffered().size() >= kMaxHeaderBytes) return head_too_long();
    if (!TRY(fill())) return cut_short();
  }
}

Taken<std::string_view> Input::line(std::size_t max) {
  for (;;) {
    auto end = buffered().substr(0, max).find('\n');
    if (end != std::string_view::npos) {
      auto out = buffered().substr(0, end);
      if (!out.ends_with('\r') || out.find('\r') != out.size() - 1) {
        return refuse(400, ErrorKind::invalid, "stray line break in a chunked body");
      }
      consume(end + 1);
      return out.substr(0, out.size() - 1);
    }
    if (buffered().size() >= max) return refuse(400, ErrorKind::invalid, "overlong line in a chunked body");
    if (!TRY(fill())) return cut_short();
  }
}

Taken<void> Body::take_allowance(std::uint64_t size) {
  if (size > allowance_) return refuse(413, ErrorKind::exhausted, "message body is larger than the limit");
  if (allowance_ != kUnlimited) allowance_ -= size;
  left_ = size;
  return {};
}

Taken<void> Body::begin() {
  begun_ = true;
  if (framing_.kind == Framing::Kind::length) return take_allowance(framing_.length);
  return {};
}

// RFC 9112 section 7.1. Extensions are ignored, but only visible characters are taken for one.
Taken<void> Body::next_chunk() {
  if (between_chunks_ && !TRY(input_.line(2)).empty()) {
    return refuse(400, ErrorKind::invalid, "a chunk is longer than it says");
  }
  auto line = TRY(input_.line(kMaxChunkLine));
  std::uint64_t size = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), size, 16);
  auto extension = line.substr(static_cast<std::size_t>(end - line.data()));
  bool visible = std::ranges::all_of(extension, [](char c) { return c >= 0x20 && c < 0x7F; });
  if (error != std::errc() || !(extension.empty() || extension.starts_with(';')) || !visible) {
    return refuse(400, ErrorKind::invalid, "malformed chunk size");
  }
  TRY(take_allowance(size));
  between_chunks_ = true;
  if (size == 0) TRY(skip_trailer());
  return {};
}

Taken<void> Body::skip_trailer() {
  for (std::size_t total = 0;;) {
    auto line = TRY(input_.line(kMaxHeaderBytes));
    if (line.empty()) break;
    total += line.size();
    if (total > kMaxHeaderBytes) return head_too_long();
  }
  ended_ = true;
  return {};
}

Taken<std::string_view> Body::next() {
  if (!begun_) TRY(begin());
  if (framing_.kind == Framing::Kind::chunked && left_ == 0 && !ended_) TRY(next_chunk());
  if (left_ == 0) return std::string_view();
  if (!TRY(input_.await())) return cut_short();
  auto piece = input_.buffered();
  piece = piece.substr(0, std::min<std::uint64_t>(piece.size(), left_));
  input_.consume(piece.size());
  left_ -= piece.size();
  return piece;
}

Taken<std::string> Body::whole() {
  std::string out;
  for (;;) {
    auto piece = next();
    if (!piece) {
      wipe(out);
      return std::unexpected(std::move(piece).error());
    }
    if (piece->empty()) return out;
    append_wiping(out, *piece);
  }
}

namespace {

// How many bytes of the blank line the text ends with.
std::size_t matched(std::string_view text) {
  for (std::size_t n = kBlankLine.size(); n > 0; --n) {
    if (text.ends_with(kBlankLine.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

// Asks for as many bytes as the blank line still lacks: the end cannot be nearer, so nothing behind it is
// touched.
Taken<std::string> read_head_exactly(sys::Stream& stream) {
  std::string head;
  while (!head.ends_with(kBlankLine)) {
    ByteArray<kBlankLine.size()> buffer;
    auto wanted = kBlankLine.size() - matched(head);
    if (head.size() + wanted > kMaxHeaderBytes) return head_too_long();
    auto n = TRY(read_some(stream, MutableByteView(buffer).first(wanted)));
    if (n == 0) return cut_short();
    head += as_text(ByteView(buffer).first(n));
  }
  return head;
}

}  // namespace cloister::http
