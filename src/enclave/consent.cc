#include "enclave/consent.h"

namespace cloister::enclave {

namespace {

// "a/b/" names a and b.
bool names_directory(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    auto end = list.find('/');
    if (list.substr(0, end) == name) return true;
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return false;
}

}  // namespace

Status check_consent(const package::Terms& terms, const JobOrder& order) {
  for (const auto& name : terms.writes) {
    if (name == package::kDefaultOutput || names_directory(order.writes.view(), name)) continue;
    Error error(ErrorKind::denied, fmt::format("the application wants to write to your '{}'", name));
    return std::unexpected(
        std::move(error).with_hint(fmt::format("if you agree, run it with --allow-write {}", name)));
  }
  if (order.diagnostics != 0 && !terms.diagnostics) {
    Error error(ErrorKind::invalid, "this application makes no diagnostic bundles");
    return std::unexpected(std::move(error).with_hint("run it without --diagnostics"));
  }
  return {};
}

}  // namespace cloister::enclave
