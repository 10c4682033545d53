// CBOR (RFC 8949): a strict pull reader and a deterministic writer. No floats, no undefined, no other simple
// values.
//
// A parser reads like its schema:
//
//   CborReader reader(bytes);                      // canonical
//   auto map = TRY(reader.map(8));                 // at most 8 entries
//   TRY(map.expect_key("id"));                     // keys come in canonical order: shorter first, then
//   bytewise header.id = TRY(reader.bytes(32)); if (TRY(map.optional_key("size"))) header.size =
//   TRY(reader.uint(kMaxSize)); TRY(map.finish());                             // refuses any further entry
//   TRY(reader.finish());                          // refuses trailing bytes
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace cloister::codec {

inline constexpr std::size_t kMaxCborDepth = 16;  // nested arrays and maps

enum class CborMode {
  canonical,  // RFC 8949 section 4.2.1: definite lengths only, map keys sorted bytewise by their encoding
  lenient,    // indefinite lengths and keys in any order as well (documents that others wrote)
};
// In both modes: every integer and length in its shortest form, UTF-8 checked, no map key twice, keys are
// integers, byte strings or text strings of definite length.

enum class CborType { uint, negative, bytes, text, array, map, tag, boolean, null };

class CborReader;

// An open array or map. It ends with finish(), and must end before its parent goes on.
class CborArray {
 public:
  // Whether another element follows: while (TRY(array.more())) …
  Result<bool> more();
  Status finish();

 protected:
  friend class CborReader;
  CborArray(CborReader& reader, std::size_t depth) : reader_(&reader), depth_(depth) {}
  CborReader* reader_;
  std::size_t depth_;
};

// Read a key (expect_key, optional_key, or reader.text() and reader.uint() for keys that are data), then its
// value.
class CborMap : public CborArray {
 public:
  Status expect_key(std::string_view key);
  Status expect_key(std::int64_t key);
  // Takes the key if it is the next one.
  Result<bool> optional_key(std::string_view key);
  Result<bool> optional_key(std::int64_t key);

 private:
  friend class CborReader;
  CborMap(CborReader& reader, std::size_t depth) : CborArray(reader, depth) {}
  Status expect_encoded(ByteView key, std::string_view name);
  Result<bool> take_encoded(ByteView key);
};

// A cursor over one encoded item. Everything it refuses is `corrupt`; after an error it must not be used
// again. The bytes must outlive it. One thread at a time; arrays and maps point to their reader, which must
// not move while they are open.
class CborReader {
 public:
  explicit CborReader(ByteView bytes, CborMode mode = CborMode::canonical)
      : all_(bytes), rest_(bytes), mode_(mode) {}
  CborReader(const CborReader&) = delete;
  CborReader& operator=(const CborReader&) = delete;

  Result<CborType> peek() const;
  Result<std::uint64_t> uint(std::uint64_t max = std::numeric_limits<std::uint64_t>::max());
  Result<std::int64_t> integer(std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                               std::int64_t max = std::numeric_limits<std::int64_t>::max());
  Result<bool> boolean();
  // Takes a null if it is next.
  Result<bool> optional_null();
  // Strings of min to max bytes. Chunks (lenient) are joined.
  Result<Bytes> bytes(std::size_t max, std::size_t min = 0);
  Result<std::string> text(std::size_t max, std::size_t min = 0);
  // Definite lengths only: a view into the input.
  Result<ByteView> bytes_view(std::size_t max, std::size_t min = 0);
  // A tag; what it tags is the next item.
  Result<std::uint64_t> tag();
  Result<CborArray> array(std::size_t max_count);
  Result<CborArray> array_of(std::size_t count);
  Result<CborMap> map(std::size_t max_count);
  // Any one item, checked and passed over: its encoded bytes.
  Result<ByteView> skip();

  // Refuses open arrays and maps, and trailing bytes.
  Status finish() const;
  // Bytes consumed so far.
  std::size_t offset() const { return all_.size() - rest_.remaining(); }

 private:
  friend class CborArray;
  friend class CborMap;
  struct Head {
    unsigned major = 0;
    std::uint64_t argument = 0;  // or the simple value
    bool indefinite = false;
  };
  struct Frame {
    bool is_map = false;
    bool indefinite = false;
    bool at_key = false;
    // Items, keys and values counted each. Of an indefinite container: the most there may still be.
    std::uint64_t left = 0;
    std::size_t start = 0;  // offset of the container itself
    ByteView last_key;
    std::set<std::string_view> keys;  // lenient only: canonical order needs the last one alone
  };

  std::unexpected<Error> refuse(std::string_view why) const;
  Result<std::uint8_t> next_byte() const;
  Result<Head> head();
  Result<std::uint64_t> argument(unsigned info);
  Status check_place() const;
  Result<Head> item(unsigned major, std::string_view wanted);
  Status complete(std::size_t start);
  Status check_key(std::size_t start);
  Result<std::size_t> open(unsigned major, std::size_t max_count, bool exact);
  Status check_open(std::size_t depth) const;
  Result<bool> more(std::size_t depth);
  Status close(std::size_t depth);
  Result<Bytes> string(unsigned major, std::size_t max, std::size_t min);
  Status string_content(unsigned major, const Head& head, std::size_t max, Bytes& out);
  Status chunks(unsigned major, std::size_t max, Bytes& out);
  Status skip_item();
  Status skip_elements(CborArray container);

  ByteView all_;
  Reader rest_;
  CborMode mode_;
  std::vector<Frame> frames_;
  bool tagged_ = false;    // a tag waits for its item
  bool complete_ = false;  // the outermost item has ended
};

// Writes the shortest form of everything. The caller keeps its promises: array(n) is followed by n items,
// map(n) by n keys in canonical order, each with its value (CborMapBuilder sorts them).
class CborWriter {
 public:
  CborWriter& uint(std::uint64_t value);
  CborWriter& integer(std::int64_t value);
  CborWriter& boolean(bool value);
  CborWriter& null();
  CborWriter& bytes(ByteView value);
  CborWriter& text(std::string_view value);  // UTF-8
  CborWriter& tag(std::uint64_t value);
  CborWriter& array(std::size_t count);
  CborWriter& map(std::size_t count);
  CborWriter& raw(ByteView encoded);  // an item that is encoded already

  const Bytes& view() const { return out_.view(); }
  Bytes take() && { return std::move(out_).take(); }

 private:
  CborWriter& head(unsigned major, std::uint64_t argument);
  Writer out_;
};

// A map whose entries come in any order and are written in the canonical one. A key added twice keeps its
// last value.
class CborMapBuilder {
 public:
  using Value = std::function<void(CborWriter&)>;  // writes exactly one item
  CborMapBuilder& add(std::string_view key, const Value& value);
  CborMapBuilder& add(std::int64_t key, const Value& value);
  CborMapBuilder& add_uint(std::string_view key, std::uint64_t value);
  CborMapBuilder& add_boolean(std::string_view key, bool value);
  CborMapBuilder& add_bytes(std::string_view key, ByteView value);
  CborMapBuilder& add_text(std::string_view key, std::string_view value);

  void write_to(CborWriter& writer) const;
  Bytes encode() const;

 private:
  CborMapBuilder& add_encoded(Bytes key, const Value& value);
  std::map<Bytes, Bytes> entries_;  // encoded key → encoded value
};

// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(ByteView bytes);

}  // namespace cloister::codec
