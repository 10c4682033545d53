// Typed members of a JSON object, in and out. Internal to the room; for .cc files, because of
// nlohmann/json.hpp.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "kms/messages.h"

namespace cloister::kms {

using http::Json;

struct Length {
  std::size_t min = 1;
  std::size_t max = 0;  // bytes
};

// Reads one object. null counts as absent, as AWS's own parsers have it.
class ObjectReader {
 public:
  // kind: of every error that comes from here.
  static Result<ObjectReader> parse(std::string_view body, ErrorKind kind);
  // A nested object, which must live as long as the reader.
  static Result<ObjectReader> nested(const Json& object, ErrorKind kind);
  Result<ObjectReader> object(const char* name) const;

  Result<std::string> text(const char* name, Length length) const;
  Result<std::string> text_or(const char* name, Length length, std::string_view absent) const;
  Result<Bytes> blob(const char* name, Length length) const;             // base64
  Result<Bytes> blob_or_empty(const char* name, std::size_t max) const;  // absent, null and "" are all empty
  Result<bool> boolean_or(const char* name, bool absent) const;
  Result<unsigned> number_or(const char* name, unsigned min, unsigned max, unsigned absent) const;
  Result<std::optional<double>> seconds(const char* name) const;
  Result<EncryptionContext> context() const;
  Result<std::optional<Recipient>> recipient() const;
  // An array member, empty if absent; at most max items.
  Result<std::vector<ObjectReader>> array(const char* name, std::size_t max) const;
  // Likewise, of texts.
  Result<std::vector<std::string>> texts(const char* name, Length each, std::size_t max) const;
  bool has(const char* name) const { return find(name) != nullptr; }
  template <class... Args>
  std::unexpected<Error> refuse(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(kind_, "{}", fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  ObjectReader(const Json& object, ErrorKind kind) : object_(&object), kind_(kind) {}
  const Json* find(const char* name) const;
  std::shared_ptr<const Json> owned_;  // of the outermost reader
  const Json* object_;
  ErrorKind kind_;
};

// The other direction.
class ObjectWriter {
 public:
  ObjectWriter() : object_(Json::object()) {}
  ObjectWriter& text(std::string_view name, std::string_view value);
  ObjectWriter& text_unless_empty(std::string_view name, std::string_view value);
  ObjectWriter& blob(std::string_view name, ByteView value);
  ObjectWriter& blob_unless_empty(std::string_view name, ByteView value);
  ObjectWriter& value(std::string_view name, Json value);
  ObjectWriter& context(const EncryptionContext& context);
  ObjectWriter& recipient(const std::optional<Recipient>& recipient);
  Json take() { return std::move(object_); }
  JsonString encode() const { return http::format_json(object_); }

 private:
  Json object_;
};

}  // namespace cloister::kms
