#include "package/start.h"

#include <unistd.h>

#include <cerrno>

namespace cloister::package {

namespace {

Status read_exactly(int fd, MutableByteView out, std::string_view what) {
  while (!out.empty()) {
    ssize_t n = ::read(fd, out.data(), out.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(what);
    if (n == 0) return fail(ErrorKind::corrupt, "{}: the file ends too early", what);
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

// The length of the header, from magic and length field.
Result<std::size_t> parse_fixed(ByteView fixed) {
  Reader reader(fixed);
  auto magic = TRY(reader.bytes(kMagic.size()));
  if (!std::ranges::equal(magic, kMagic)) return fail(ErrorKind::corrupt, "not an encrypted package");
  auto length = TRY(reader.u32());
  if (length == 0 || length > kMaxHeader) {
    return fail(ErrorKind::corrupt, "package header: a length of {} bytes (1 to {} allowed)", length,
                kMaxHeader);
  }
  return length;
}

}  // namespace

Result<RawStart> read_raw_start(int fd) {
  RawStart start;
  start.prefix.resize(kPrefixFixed);
  TRY(read_exactly(fd, start.prefix, "package"));
  auto length = TRY(parse_fixed(start.prefix));
  start.prefix.resize(kPrefixFixed + length);
  auto header = MutableByteView(start.prefix).subspan(kPrefixFixed);
  TRY(read_exactly(fd, header, "package header"));
  TRY(read_exactly(fd, start.stream_header, "package content"));
  return start;
}

Result<PackageStart> read_start(int fd) {
  PackageStart start{TRY(read_raw_start(fd)), {}};
  start.header = TRY(parse_prefix(start.prefix));
  return start;
}

Bytes encode_prefix(const Header& header) {
  auto encoded = header.encode();
  Writer out;
  out.bytes(kMagic).u32(static_cast<std::uint32_t>(encoded.size())).bytes(encoded);
  return std::move(out).take();
}

Result<Header> parse_prefix(ByteView prefix) {
  Reader reader(prefix);
  auto fixed = TRY(reader.bytes(kPrefixFixed));
  auto length = TRY(parse_fixed(fixed));
  auto header = TRY(reader.bytes(length));
  TRY(reader.finish());
  return Header::parse(header);
}

}  // namespace cloister::package
