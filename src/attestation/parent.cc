#include "attestation/parent.h"

#include <algorithm>

namespace cloister::attestation {

namespace {

constexpr std::string_view kInstancePrefix = "i-";
constexpr std::string_view kEnclavePrefix = "enc";
constexpr std::string_view kSeparator = "-enc";
constexpr std::size_t kShortId = 8;     // digits; instances from before 2016
constexpr std::size_t kLongId = 17;     // digits
constexpr std::size_t kMaxDigits = 32;  // of an enclave's part; seen: 16

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

bool is_instance_id(std::string_view text) {
  if (!text.starts_with(kInstancePrefix)) return false;
  auto digits = text.substr(kInstancePrefix.size());
  return (digits.size() == kShortId || digits.size() == kLongId) && is_hex(digits);
}

std::optional<Module> Module::parse(std::string_view module_id) {
  auto at = module_id.find(kSeparator);
  if (at == std::string_view::npos) return std::nullopt;
  auto instance = module_id.substr(0, at);
  auto enclave = module_id.substr(at + 1);
  auto digits = enclave.substr(kEnclavePrefix.size());
  if (!is_instance_id(instance) || digits.empty() || digits.size() > kMaxDigits || !is_hex(digits))
    return std::nullopt;
  return Module{.instance = std::string(instance), .enclave = std::string(enclave)};
}

Pcr pcr_of(std::string_view text) {
  Bytes extended(kPcrSize, 0);
  append(extended, as_bytes(text));
  auto digest = crypto::sha384(extended);
  return {digest.begin(), digest.end()};
}

}  // namespace cloister::attestation
