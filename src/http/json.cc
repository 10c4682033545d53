#include "http/json.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

namespace cloister::http {

// The parser keeps the text of the token it is at in a std::vector of the input's character type, with
// std::allocator. A character type of our own lets that allocator wipe what it frees.
enum class WipedChar : unsigned char {};

}  // namespace cloister::http

template <>
struct std::allocator<cloister::http::WipedChar> {
  using value_type = cloister::http::WipedChar;
  value_type* allocate(std::size_t count) { return static_cast<value_type*>(::operator new(count)); }
  void deallocate(value_type* memory, std::size_t count) {
    ::explicit_bzero(static_cast<void*>(memory), count);
    ::operator delete(memory);
  }
  bool operator==(const allocator&) const = default;
};

namespace cloister::http {

namespace {

// Goes over text as WipedChar.
struct Input {
  using iterator_category = std::forward_iterator_tag;
  using value_type = WipedChar;
  using difference_type = std::ptrdiff_t;
  using pointer = const WipedChar*;
  using reference = WipedChar;

  std::string_view::const_iterator at{};
  WipedChar operator*() const { return static_cast<WipedChar>(*at); }
  Input& operator++() {
    ++at;
    return *this;
  }
  Input operator++(int) { return {at++}; }
  bool operator==(const Input&) const = default;
};

// Builds the value from the parser's events; returning false stops the parser.
class Builder {
 public:
  bool null() { return put(Json(nullptr)); }
  bool boolean(bool value) { return put(Json(value)); }
  bool number_integer(Json::number_integer_t value) { return put(Json(value)); }
  bool number_unsigned(Json::number_unsigned_t value) { return put(Json(value)); }
  bool number_float(Json::number_float_t value, std::string_view) { return put(Json(value)); }
  bool string(JsonString& value) { return put(Json(std::move(value))); }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(JsonString& name) {
    key_ = std::move(name);
    if (!open_.back()->contains(key_)) return true;
    why_ = "an object names a member twice";
    return false;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) { return false; }

  const char* why() const { return why_; }
  Json take() { return std::move(root_); }

 private:
  Json* place(Json&& value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  bool put(Json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Json&& value) {
    if (open_.size() == kMaxJsonDepth) {
      why_ = "too deep";
      return false;
    }
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  JsonString key_;
  // Parents stay where they are while a child is open: only the innermost one grows.
  std::vector<Json*> open_;
  const char* why_ = "malformed";
};

}  // namespace

Result<Json> parse_json(std::string_view text) {
  try {
    Builder builder;
    if (!Json::sax_parse(Input{text.begin()}, Input{text.end()}, &builder))
      return fail(ErrorKind::invalid, "JSON: {}", builder.why());
    return builder.take();
  } catch (const std::exception&) {
    return fail(ErrorKind::invalid, "JSON: refused by the parser");
  }
}

const JsonString* find_text(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  auto member = object.find(JsonString(name));
  if (member == object.end() || !member->is_string()) return nullptr;
  return member->get_ptr<const JsonString*>();
}

JsonString format_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cloister::http
