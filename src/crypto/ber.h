// A strict, bounded walk over BER (ITU-T X.690), as far as CMS from KMS needs it: one-byte tags, lengths in
// their shortest form or indefinite. Nothing recurses: the caller enters and leaves, so a parser reads like
// its schema.
#pragma once

#include <vector>

#include "base/bytes.h"

namespace cloister::crypto {

// Identifier octets: class, constructed bit, number.
enum class BerTag : std::uint8_t {
  integer = 0x02,
  octet_string = 0x04,
  null = 0x05,
  object_identifier = 0x06,
  sequence = 0x30,
  set = 0x31,
  context_0_primitive = 0x80,
  context_0 = 0xa0,
  context_1 = 0xa1,
};

class BerReader {
 public:
  static constexpr std::size_t kMaxDepth = 12;  // open constructed values; CMS from KMS has 8

  explicit BerReader(ByteView bytes) : bytes_(bytes) {}

  // Whether the innermost open value goes on with this tag.
  bool next_is(BerTag tag) const;
  // Opens a constructed value; every later read is confined to it.
  Status enter(BerTag tag);
  // Closes the innermost one, which must be used up: at its length, or at its end-of-contents octets.
  Status leave();
  // The contents of a primitive value.
  Result<ByteView> primitive(BerTag tag);
  // A primitive value that has to be exactly this.
  Status expect(BerTag tag, ByteView contents);
  // Refuses trailing bytes and values left open.
  Status finish() const;

 private:
  struct Scope {
    std::size_t end;  // position where it ends, or its parent does
    bool indefinite;
  };
  struct Header {
    std::size_t length;
    bool indefinite;
  };
  std::size_t end() const { return scopes_.empty() ? bytes_.size() : scopes_.back().end; }
  Result<std::uint8_t> octet();
  Result<Header> header(BerTag tag);
  Result<std::size_t> long_length(std::size_t octets);

  ByteView bytes_;
  std::size_t at_ = 0;
  std::vector<Scope> scopes_;
};

}  // namespace cloister::crypto
