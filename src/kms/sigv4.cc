#include "kms/sigv4.h"

#include <algorithm>
#include <set>

#include "base/secret.h"
#include "crypto/digest.h"
#include "http/json.h"
#include "kms/times.h"

namespace cloister::kms {

namespace {

using http::JsonString;  // wipes itself

constexpr std::string_view kTerminator = "aws4_request";
constexpr std::size_t kMaxSignedHeaders = 64;
constexpr std::size_t kMaxAccessKeyId = 128;  // characters, as IAM has it

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowercase(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

bool is_unreserved(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

std::string uri_encode(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (is_unreserved(c)) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string uri_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto byte = text[i] == '%' ? from_hex(text.substr(i + 1, 2)) : Result<Bytes>(Bytes{});
    if (byte && byte->size() == 1) {
      out.push_back(static_cast<char>(byte->front()));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// Calls fn with every part of `text` between separators.
template <class Fn>
void split(std::string_view text, char separator, Fn fn) {
  for (;;) {
    auto part = text.substr(0, text.find(separator));
    fn(part);
    if (part.size() == text.size()) return;
    text.remove_prefix(part.size() + 1);
  }
}

// Dot segments and empty segments are resolved; what is left is encoded once more than on the wire.
std::string canonical_path(std::string_view path) {
  std::vector<std::string_view> kept;
  split(path, '/', [&](std::string_view segment) {
    if (segment.empty() || segment == ".") return;
    if (segment != "..") {
      kept.push_back(segment);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  });
  std::string out;
  for (auto segment : kept) out += "/" + uri_encode(segment);
  if (out.empty() || path.ends_with('/')) out += "/";
  return out;
}

std::string canonical_query(std::string_view target) {
  auto mark = target.find('?');
  if (mark == target.npos) return {};
  std::vector<std::pair<std::string, std::string>> pairs;
  split(target.substr(mark + 1), '&', [&](std::string_view pair) {
    if (pair.empty()) return;
    auto equals = pair.find('=');
    auto value = equals == pair.npos ? std::string_view() : pair.substr(equals + 1);
    pairs.emplace_back(uri_encode(uri_decode(pair.substr(0, equals))), uri_encode(uri_decode(value)));
  });
  std::ranges::sort(pairs);
  std::string out;
  for (const auto& [name, value] : pairs) out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
  return out;
}

// Outer white space goes, inner runs become one space.
JsonString squeeze(std::string_view value) {
  JsonString out;
  bool gap = false;
  for (char c : value) {
    if (c == ' ' || c == '\t') {
      gap = !out.empty();
      continue;
    }
    if (gap) out.push_back(' ');
    gap = false;
    out.push_back(c);
  }
  return out;
}

// All values of a field, joined; nothing if it is absent.
std::optional<JsonString> canonical_value(const http::Fields& fields, std::string_view lowercase_name) {
  std::optional<JsonString> out;
  for (const auto& [name, value] : fields.all()) {
    if (lowercase(name) != lowercase_name) continue;
    out = out ? *out + "," + squeeze(value) : squeeze(value);
  }
  return out;
}

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : ";") + part;
  return out;
}

bool must_be_signed(std::string_view lowercase_name) {
  return lowercase_name == "host" || lowercase_name == "content-type" || lowercase_name.starts_with("x-amz-");
}

std::vector<std::string> headers_to_sign(const http::Request& request) {
  std::set<std::string> names;
  for (const auto& [name, value] : request.fields.all()) {
    auto lowered = lowercase(name);
    if (must_be_signed(lowered)) names.insert(std::move(lowered));
  }
  return {names.begin(), names.end()};
}

Secret step(const Secret& key, std::string_view data) {
  return Secret(crypto::hmac(crypto::Hash::sha256, key.view(), as_bytes(data)));
}

Secret signing_key(ByteView secret_access_key, const SigningScope& scope) {
  constexpr std::string_view kPrefix = "AWS4";
  Secret start(kPrefix.size() + secret_access_key.size());
  std::ranges::copy(as_bytes(kPrefix), start.mutable_view().begin());
  std::ranges::copy(secret_access_key, start.mutable_view().begin() + kPrefix.size());
  return step(step(step(step(start, scope.date), scope.region), scope.service), kTerminator);
}

std::string signature(const http::Request& request, const std::vector<std::string>& signed_headers,
                      const SigningScope& scope, std::string_view amz_date, ByteView secret_access_key) {
  auto canonical = canonical_request(request, signed_headers);
  auto digest = crypto::sha256(as_bytes(canonical));
  wipe(canonical);
  auto to_sign =
      fmt::format("{}\n{}\n{}\n{}", kSigningAlgorithm, amz_date, scope.to_string(), to_hex(digest));
  auto key = signing_key(secret_access_key, scope);
  return to_hex(crypto::hmac(crypto::Hash::sha256, key.view(), as_bytes(to_sign)));
}

}  // namespace

std::string SigningScope::to_string() const {
  return fmt::format("{}/{}/{}/{}", date, region, service, kTerminator);
}

std::string canonical_request(const http::Request& request, const std::vector<std::string>& signed_headers) {
  // The session token is among the fields.
  JsonString headers;
  for (const auto& name : signed_headers) {
    headers.append(name).append(":");
    if (auto value = canonical_value(request.fields, name)) headers.append(*value);
    headers.append("\n");
  }
  auto before = fmt::format("{}\n{}\n{}\n", request.method, canonical_path(request.path()),
                            canonical_query(request.target));
  auto after = fmt::format("\n{}\n{}", join(signed_headers), to_hex(crypto::sha256(as_bytes(request.body))));
  std::string out;
  out.reserve(before.size() + headers.size() + after.size());
  out.append(before).append(headers).append(after);
  return out;
}

Status sign(http::Request& request, const Credentials& credentials, std::string_view region,
            std::string_view service, sys::UnixMillis now) {
  if (request.fields.get("Host").empty())
    return fail(ErrorKind::invalid, "signing: the request has no Host field");
  auto amz_date = format_amz_date(now);
  request.fields.set("X-Amz-Date", amz_date);
  if (credentials.session_token) {
    request.fields.set("X-Amz-Security-Token", as_text(credentials.session_token->view()));
  }
  SigningScope scope{amz_date.substr(0, 8), std::string(region), std::string(service)};
  auto signed_headers = headers_to_sign(request);
  request.fields.set(
      "Authorization",
      fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kSigningAlgorithm,
                  credentials.access_key_id, scope.to_string(), join(signed_headers),
                  signature(request, signed_headers, scope, amz_date, credentials.secret_access_key.view())));
  return {};
}

namespace {

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorKind::invalid, "malformed Authorization field: {}", what);
}

bool is_word(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max &&
         std::ranges::all_of(text, [](char c) { return is_unreserved(c); });
}

// KEYID/date/region/service/aws4_request
Status parse_credential(std::string_view text, ParsedAuthorization& out) {
  std::vector<std::string> parts;
  split(text, '/', [&](std::string_view part) { parts.emplace_back(part); });
  if (parts.size() != 5 || parts[4] != kTerminator) return malformed("Credential");
  bool sound = is_word(parts[0], kMaxAccessKeyId) && is_word(parts[2], 64) && is_word(parts[3], 64) &&
               parts[1].size() == 8 &&
               std::ranges::all_of(parts[1], [](char c) { return c >= '0' && c <= '9'; });
  if (!sound) return malformed("Credential");
  out.access_key_id = parts[0];
  out.scope = {parts[1], parts[2], parts[3]};
  return {};
}

Status parse_signed_headers(std::string_view text, ParsedAuthorization& out) {
  split(text, ';', [&](std::string_view name) {
    if (out.signed_headers.size() <= kMaxSignedHeaders) out.signed_headers.emplace_back(name);
  });
  const auto& names = out.signed_headers;
  bool words = std::ranges::all_of(
      names, [](const auto& name) { return is_word(name, 128) && lowercase(name) == name; });
  bool ascending = std::ranges::adjacent_find(names, std::greater_equal<>()) == names.end();
  bool has_host = std::ranges::binary_search(names, "host");
  if (!words || !ascending || !has_host || names.size() > kMaxSignedHeaders)
    return malformed("SignedHeaders");
  return {};
}

Status parse_signature(std::string_view text, ParsedAuthorization& out) {
  bool hex =
      std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (text.size() != 64 || !hex) return malformed("Signature");
  out.signature = text;
  return {};
}

}  // namespace

Result<ParsedAuthorization> parse_authorization(std::string_view value) {
  if (!value.starts_with(kSigningAlgorithm)) return malformed("algorithm");
  value.remove_prefix(kSigningAlgorithm.size());
  if (!value.starts_with(' ')) return malformed("algorithm");
  std::vector<std::string_view> parts;
  split(value, ',', [&](std::string_view part) {
    part.remove_prefix(std::min(part.size(), part.find_first_not_of(' ')));
    if (parts.size() <= 3) parts.push_back(part);
  });
  constexpr std::string_view kNames[] = {"Credential=", "SignedHeaders=", "Signature="};
  if (parts.size() != std::size(kNames)) return malformed("three parts wanted");
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].starts_with(kNames[i])) return malformed(kNames[i]);
    parts[i].remove_prefix(kNames[i].size());
  }
  ParsedAuthorization out;
  TRY(parse_credential(parts[0], out));
  TRY(parse_signed_headers(parts[1], out));
  TRY(parse_signature(parts[2], out));
  return out;
}

Result<std::string> expected_signature(const http::Request& request, const ParsedAuthorization& parsed,
                                       ByteView secret_access_key) {
  for (const auto& name : parsed.signed_headers) {
    if (!canonical_value(request.fields, name))
      return fail(ErrorKind::invalid, "signed field {} is absent", name);
  }
  for (const auto& [name, value] : request.fields.all()) {
    auto lowered = lowercase(name);
    if (lowered.starts_with("x-amz-") && !std::ranges::binary_search(parsed.signed_headers, lowered)) {
      return fail(ErrorKind::invalid, "field {} is not signed", lowered);
    }
  }
  auto amz_date = request.fields.get("X-Amz-Date");
  TRY(parse_amz_date(amz_date).context("X-Amz-Date"));
  if (amz_date.substr(0, 8) != parsed.scope.date)
    return fail(ErrorKind::invalid, "X-Amz-Date is not of the scope's day");
  return signature(request, parsed.signed_headers, parsed.scope, amz_date, secret_access_key);
}

}  // namespace cloister::kms
