#include "share/lane.h"

#include <algorithm>

#include "base/secret.h"
#include "fuse/limits.h"
#include "share/limits.h"

namespace cloister::share {

namespace {

constexpr std::string_view kHelloMagic = "CLSH";
constexpr std::string_view kReplyMagic = "CLSR";
constexpr std::uint32_t kLeastWrite = 4096;  // bytes; what every FUSE kernel may send

Status check_start(Reader& reader, std::string_view magic, std::string_view what) {
  if (as_text(TRY(reader.bytes(magic.size()))) != magic) return fail(ErrorKind::invalid, "not a {}", what);
  auto version = TRY(reader.u16());
  if (version != kLaneVersion) return fail(ErrorKind::invalid, "{} of version {}", what, version);
  return {};
}

template <std::size_t N>
ByteArray<N> exactly(const Bytes& bytes) {
  ByteArray<N> out{};
  std::copy_n(bytes.begin(), N, out.begin());
  return out;
}

}  // namespace

ByteArray<kHelloBytes> Hello::encode() const {
  Writer writer;
  writer.bytes(as_bytes(kHelloMagic)).u16(kLaneVersion).u16(static_cast<std::uint16_t>(kind)).bytes(ticket);
  return exactly<kHelloBytes>(writer.view());
}

Result<Hello> Hello::decode(ByteView bytes) {
  Reader reader(bytes);
  TRY(check_start(reader, kHelloMagic, "lane hello"));
  auto kind = TRY(reader.u16());
  if (kind != 1 && kind != 2) return fail(ErrorKind::invalid, "lane hello of kind {}", kind);
  Hello hello{.kind = static_cast<LaneKind>(kind)};
  auto ticket = TRY(reader.bytes(kTicketBytes));
  std::copy(ticket.begin(), ticket.end(), hello.ticket.begin());
  TRY(reader.finish());
  return hello;
}

ByteArray<kHelloReplyBytes> HelloReply::encode() const {
  Writer writer;
  writer.bytes(as_bytes(kReplyMagic)).u16(kLaneVersion).u16(static_cast<std::uint16_t>(status));
  writer.u32(max_write).u32(max_lanes);
  return exactly<kHelloReplyBytes>(writer.view());
}

Result<HelloReply> HelloReply::decode(ByteView bytes) {
  Reader reader(bytes);
  TRY(check_start(reader, kReplyMagic, "lane hello reply"));
  auto status = TRY(reader.u16());
  if (status > static_cast<std::uint16_t>(LaneStatus::full)) {
    return fail(ErrorKind::invalid, "lane hello reply of status {}", status);
  }
  HelloReply reply{.status = static_cast<LaneStatus>(status)};
  reply.max_write = TRY(reader.u32());
  reply.max_lanes = TRY(reader.u32());
  TRY(reader.finish());
  if (reply.max_write < kLeastWrite || reply.max_write > fuse::kMaxWrite ||
      reply.max_write % kLeastWrite != 0) {
    return fail(ErrorKind::invalid, "lane hello reply: {} bytes per message", reply.max_write);
  }
  if (reply.max_lanes < 1 || reply.max_lanes > kMaxLanes) {
    return fail(ErrorKind::invalid, "lane hello reply: {} lanes", reply.max_lanes);
  }
  return reply;
}

Result<Hello> read_hello(sys::Stream& stream, sys::Deadline deadline) {
  ByteArray<kHelloBytes> bytes;
  stream.set_deadline(deadline);
  TRY(sys::read_exactly(stream, bytes));
  stream.set_deadline({});
  auto hello = Hello::decode(bytes);
  wipe(bytes);
  return hello;
}

Status write_hello_reply(sys::Stream& stream, const HelloReply& reply, sys::Deadline deadline) {
  stream.set_deadline(deadline);
  TRY(stream.write_all(reply.encode()));
  stream.set_deadline({});
  return {};
}

Result<HelloReply> greet(sys::Stream& stream, const Hello& hello, sys::Deadline deadline) {
  stream.set_deadline(deadline);
  TRY(stream.write_all(hello.encode()).context("open a lane of the shared folder"));
  ByteArray<kHelloReplyBytes> bytes;
  TRY(sys::read_exactly(stream, bytes).context("open a lane of the shared folder"));
  stream.set_deadline({});
  auto reply = TRY(HelloReply::decode(bytes));
  if (reply.status == LaneStatus::refused)
    return fail(ErrorKind::denied, "the enclave refused the lane's ticket");
  if (reply.status == LaneStatus::full)
    return fail(ErrorKind::exhausted, "the enclave has no room for another lane");
  return reply;
}

}  // namespace cloister::share
