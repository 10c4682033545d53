#include "crypto/transport_bio.h"

#include <openssl/bio.h>

#include <limits>

namespace cloister::crypto {

namespace {

constexpr std::size_t kGather = 64 * 1024;  // bytes written before they are sent unasked

TransportBridge* bridge_of(BIO* bio) {
  return static_cast<TransportBridge*>(BIO_get_data(bio));
}

// Called from C: an exception here ends the process rather than unwind through OpenSSL.
int bio_read(BIO* bio, char* out, int size) noexcept {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  int n = bridge_of(bio)->read({reinterpret_cast<std::uint8_t*>(out), static_cast<std::size_t>(size)});
  // What was read of a record so far stays in the session: after a passed deadline reading can go on.
  if (n < 0) BIO_set_retry_read(bio);
  return n;
}

int bio_write(BIO* bio, const char* bytes, int size) noexcept {
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  bool ok =
      bridge_of(bio)->write({reinterpret_cast<const std::uint8_t*>(bytes), static_cast<std::size_t>(size)});
  return ok ? size : -1;
}

long bio_control(BIO* bio, int command, long, void*) noexcept {
  switch (command) {
    case BIO_CTRL_FLUSH:
      return bridge_of(bio)->flush().has_value() ? 1 : -1;
    case BIO_CTRL_EOF:
      return bridge_of(bio)->ended() ? 1 : 0;
    default:
      return 0;
  }
}

const BIO_METHOD* bridge_method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    require(method != nullptr && BIO_meth_set_read(method, bio_read) == 1 &&
                BIO_meth_set_write(method, bio_write) == 1 && BIO_meth_set_ctrl(method, bio_control) == 1,
            "out of memory");
    return method;
  }();
  return kMethod;
}

}  // namespace

Handle<BIO> TransportBridge::make_bio() {
  Handle<BIO> bio(BIO_new(bridge_method()));
  require(bio != nullptr, "out of memory");
  BIO_set_data(bio.get(), this);
  BIO_set_init(bio.get(), 1);
  return bio;
}

int TransportBridge::read(MutableByteView out) {
  if (!outgoing_.empty() && !flush()) return -1;
  if (reads_++ > 0 && deadline_.passed()) {
    error_ = Error(ErrorKind::unavailable, "read: timed out");
    return -1;
  }
  auto n = stream_->read_some(out.first(std::min<std::size_t>(out.size(), std::numeric_limits<int>::max())));
  if (!n) {
    error_ = std::move(n).error();
    return -1;
  }
  if (*n == 0) ended_ = true;
  return static_cast<int>(*n);
}

bool TransportBridge::write(ByteView bytes) {
  if (write_failed_) {
    error_ = Error(ErrorKind::unavailable, "write: the connection has failed before");
    return false;
  }
  append(outgoing_, bytes);
  return outgoing_.size() < kGather || flush().has_value();
}

Status TransportBridge::flush() {
  if (write_failed_) return fail(ErrorKind::unavailable, "write: the connection has failed before");
  if (outgoing_.empty()) return {};
  auto sent = stream_->write_all(outgoing_);
  outgoing_.clear();
  if (!sent) {
    write_failed_ = true;
    error_ = sent.error();
  }
  return sent;
}

}  // namespace cloister::crypto
