#include "http/message.h"

#include <algorithm>

#include "base/secret.h"
#include "http/head.h"

namespace cloister::http {

void Fields::set(std::string_view name, std::string_view value) {
  std::erase_if(all_, [&](const auto& field) { return equal_ignoring_case(field.first, name); });
  add(name, value);
}

void Fields::add(std::string_view name, std::string_view value) {
  all_.emplace_back(name, value);
}

std::string_view Fields::get(std::string_view name) const {
  auto field =
      std::ranges::find_if(all_, [&](const auto& each) { return equal_ignoring_case(each.first, name); });
  return field == all_.end() ? std::string_view() : std::string_view(field->second);
}

void Fields::wipe(std::string_view name) {
  for (auto& [each, value] : all_) {
    if (equal_ignoring_case(each, name)) cloister::wipe(value);
  }
}

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A '%' without two hexadecimal digits stays as it is.
std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (text[i] == '%' && high >= 0 && low >= 0) {
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

}  // namespace

std::string_view Request::path() const {
  auto whole = std::string_view(target);
  return whole.substr(0, whole.find('?'));
}

std::string Request::query(std::string_view name) const {
  auto rest = std::string_view(target).substr(path().size());
  while (!rest.empty()) {
    rest.remove_prefix(1);  // '?' or '&'
    auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(pair.size());
    auto equals = pair.find('=');
    if (percent_decode(pair.substr(0, equals)) != name) continue;
    return equals == pair.npos ? std::string() : percent_decode(pair.substr(equals + 1));
  }
  return {};
}

}  // namespace cloister::http
