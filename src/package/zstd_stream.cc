#include "package/zstd_stream.h"

#include <zstd.h>

#include <algorithm>

namespace cloister::package {

namespace {

constexpr ByteArray<4> kFrameMagic = {0x28, 0xb5, 0x2f, 0xfd};  // RFC 8878 section 3.1.1

void free_compressor(void* context) {
  ZSTD_freeCCtx(static_cast<ZSTD_CCtx*>(context));
}
void free_decompressor(void* context) {
  ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context));
}

}  // namespace

Compressor::Compressor(int level, Sink sink)
    : context_(ZSTD_createCCtx(), free_compressor), sink_(std::move(sink)), out_(kZstdChunk) {
  auto* context = static_cast<ZSTD_CCtx*>(context_.get());
  if (context != nullptr)
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, std::clamp(level, kMinLevel, kMaxLevel));
}

Status Compressor::write(ByteView bytes) {
  return run(bytes, ZSTD_e_continue);
}

Status Compressor::finish() {
  return run({}, ZSTD_e_end);
}

Status Compressor::run(ByteView bytes, int directive) {
  if (!context_) return fail(ErrorKind::exhausted, "zstd: no memory");
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (bool ready = false; !ready;) {
    ZSTD_outBuffer out{out_.data(), out_.size(), 0};
    auto left = ZSTD_compressStream2(static_cast<ZSTD_CCtx*>(context_.get()), &out, &in,
                                     static_cast<ZSTD_EndDirective>(directive));
    if (ZSTD_isError(left)) return fail(ErrorKind::internal, "zstd: {}", ZSTD_getErrorName(left));
    if (out.pos > 0) TRY(sink_(ByteView(out_).first(out.pos)));
    ready = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
  }
  return {};
}

Decompressor::Decompressor(Sink sink)
    : context_(ZSTD_createDCtx(), free_decompressor), sink_(std::move(sink)), out_(kZstdChunk) {
  auto* context = static_cast<ZSTD_DCtx*>(context_.get());
  if (context != nullptr) ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kMaxWindowLog);
}

// The library also takes skippable frames and, where it was built so, formats of before 2016; we take
// neither.
Status Decompressor::check_magic(ByteView bytes) {
  for (; !bytes.empty() && magic_seen_ < kFrameMagic.size(); bytes = bytes.subspan(1)) {
    if (bytes.front() != kFrameMagic[magic_seen_++])
      return fail(ErrorKind::corrupt, "content: not a zstd frame");
  }
  return {};
}

Status Decompressor::write(ByteView bytes) {
  if (!context_) return fail(ErrorKind::exhausted, "zstd: no memory");
  TRY(check_magic(bytes));
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  bool full = false;  // the last call filled the output, so more of it may wait inside
  while (in.pos < in.size || full) {
    if (ended_) return fail(ErrorKind::corrupt, "content: data after the end of the zstd frame");
    ZSTD_outBuffer out{out_.data(), out_.size(), 0};
    auto hint = ZSTD_decompressStream(static_cast<ZSTD_DCtx*>(context_.get()), &out, &in);
    if (ZSTD_isError(hint)) return fail(ErrorKind::corrupt, "content: zstd: {}", ZSTD_getErrorName(hint));
    if (out.pos > 0) TRY(sink_(ByteView(out_).first(out.pos)));
    ended_ = hint == 0;
    full = !ended_ && out.pos == out.size;
  }
  return {};
}

Status Decompressor::finish() const {
  if (ended_) return {};
  return fail(ErrorKind::corrupt, "content: the zstd frame ends too early");
}

}  // namespace cloister::package
