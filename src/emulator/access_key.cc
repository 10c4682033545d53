#include "emulator/access_key.h"

#include "crypto/digest.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

// Characters picked without bias: the sizes of all alphabets here divide 256.
std::string picked(std::string_view prefix, ByteView bytes, std::string_view alphabet) {
  std::string out(prefix);
  for (auto byte : bytes) out.push_back(alphabet[byte % alphabet.size()]);
  return out;
}

}  // namespace

std::string random_access_key_id(std::string_view prefix) {
  constexpr std::size_t kRandomPart = 16;  // characters
  return picked(prefix, crypto::random_bytes(kRandomPart), kBase32);
}

Secret random_secret_access_key() {
  constexpr std::size_t kLength = 40;  // characters, 240 bits
  auto random = crypto::random_secret(kLength);
  auto text = picked("", random.view(), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  Secret out(as_bytes(text));
  wipe(text);
  return out;
}

std::string unique_id(std::string_view principal_arn) {
  constexpr std::size_t kLength = 17;  // characters after the prefix
  bool role = principal_arn.find(":role/") != std::string_view::npos;
  auto digest = crypto::sha256(as_bytes(principal_arn));
  return picked(role ? "AROA" : "AIDA", ByteView(digest).first(kLength), kBase32);
}

}  // namespace cloister::emulator
