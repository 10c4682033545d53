// HMAC over parts that arrive one after another; digest.h has the one over bytes that are there.
#pragma once

#include "base/bytes.h"

namespace cloister::crypto {

enum class Hash;

// One message. Not thread-safe.
class Hmac {
 public:
  Hmac(Hash hash, ByteView key);
  Hmac(const Hmac&) = delete;
  Hmac& operator=(const Hmac&) = delete;
  ~Hmac();
  void update(ByteView data);
  Bytes finish();  // once

 private:
  void* context_;
  std::size_t size_;
};

}  // namespace cloister::crypto
