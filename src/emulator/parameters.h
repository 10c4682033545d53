// Parameters: the members of one request's JSON body, each read with its type and its limits.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "emulator/fault.h"
#include "emulator/store.h"
#include "http/json.h"

namespace cloister::emulator {

using EncryptionContext = std::map<std::string, std::string>;  // in the order of its bytes

// Limits of AWS KMS, but for the attestation document's, which is the document's own
// (attestation::kMaxDocument).
inline constexpr std::size_t kMaxKeyIdLength = 2048;    // characters
inline constexpr std::size_t kMaxDescription = 8192;    // characters
inline constexpr std::size_t kMaxPlaintext = 4096;      // bytes
inline constexpr std::size_t kMaxCiphertext = 6144;     // bytes
inline constexpr std::size_t kMaxRandomBytes = 1024;    // bytes, data keys too
inline constexpr std::size_t kMaxContextBytes = 8192;   // bytes of all names and values
inline constexpr std::size_t kMaxContextEntries = 256;  // ours
inline constexpr std::size_t kMaxTagKey = 128;          // characters
inline constexpr std::size_t kMaxTagValue = 256;        // characters
inline constexpr std::size_t kMaxMarker = 1024;         // characters

class Parameters {
 public:
  // SerializationException: not a JSON object.
  static Outcome<Parameters> parse(std::string_view body);
  Parameters(Parameters&&) noexcept;
  ~Parameters();

  // An absent member and null are the same. SerializationException: another type; ValidationException:
  // outside min and max.
  Outcome<std::optional<std::string>> text(const char* name, std::size_t min, std::size_t max) const;
  Outcome<std::string> required_text(const char* name, std::size_t min, std::size_t max) const;
  // ValidationException: none of the values.
  Outcome<std::optional<std::string>> choice(const char* name,
                                             std::span<const std::string_view> values) const;
  Outcome<std::optional<Bytes>> blob(const char* name, std::size_t min, std::size_t max) const;  // base64
  Outcome<Bytes> required_blob(const char* name, std::size_t min, std::size_t max) const;
  Outcome<std::optional<std::int64_t>> integer(const char* name, std::int64_t min, std::int64_t max) const;
  Outcome<bool> flag(const char* name) const;  // absent: false
  Outcome<std::optional<Parameters>> object(const char* name) const;
  // Lists of texts that may be absent.
  Outcome<std::vector<std::string>> texts(const char* name, std::size_t min, std::size_t max) const;
  bool has(const char* name) const;
  // ValidationException also where two names differ by case only: condition keys could not tell them apart.
  Outcome<EncryptionContext> encryption_context(const char* name = "EncryptionContext") const;
  // "Tags". TagException.
  Outcome<std::vector<Tag>> tags() const;

 private:
  explicit Parameters(http::Json members, std::string prefix = {});
  const http::Json* find(const char* name) const;
  std::string member(const char* name) const;  // as messages call it: "recipient.attestationDocument"
  std::unique_ptr<http::Json> members_;
  std::string prefix_;
};

}  // namespace cloister::emulator
