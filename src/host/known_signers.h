// Whose packages this person runs: a file of names and fingerprints, in the manner of known_hosts, but never
// filled without being asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/digest.h"

namespace cloister::host {

inline constexpr std::size_t kMaxKnownSignersFile = 1024 * 1024;  // bytes
inline constexpr std::size_t kMaxSignerName = 64;                 // bytes

struct KnownSigner {
  std::string name;  // [A-Za-z0-9._@-]
  crypto::Sha256 fingerprint{};
};

class KnownSigners {
 public:
  // A missing file is an empty list. corrupt: a line that is not "NAME FINGERPRINT", with its number.
  static Result<KnownSigners> load(const std::string& path);
  Status save(const std::string& path) const;

  const std::vector<KnownSigner>& all() const { return signers_; }
  std::optional<KnownSigner> find(const crypto::Sha256& fingerprint) const;
  // A name of the list, or a fingerprint of anybody. invalid: neither.
  Result<crypto::Sha256> resolve(std::string_view name_or_fingerprint) const;
  // invalid: a bad name, or a name or fingerprint that is there already.
  Status add(const std::string& name, const crypto::Sha256& fingerprint);
  // not_found: neither a name nor a fingerprint of the list.
  Status remove(std::string_view name_or_fingerprint);

 private:
  std::vector<KnownSigner> signers_;
};

// 64 hexadecimal digits, blanks and colons between them allowed; "SHA256:" before them too.
Result<crypto::Sha256> parse_fingerprint(std::string_view text);
// In groups of four, to be read aloud: "1a2b 3c4d …".
std::string readable_fingerprint(const crypto::Sha256& fingerprint);

}  // namespace cloister::host
