// The profiles of the shared AWS configuration files. Internal to the room.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kms/credentials.h"

namespace cloister::kms {

// Calls `visit` for every `key = value` below the section, or answers false if there is no such section. The
// views die with the call. Comments, other sections and indented (nested) settings are passed over.
using VisitSetting = std::function<void(std::string_view key, std::string_view value)>;
bool visit_section(std::string_view text, std::string_view section, const VisitSetting& visit);

class SharedFiles {
 public:
  explicit SharedFiles(Environment environment) : environment_(std::move(environment)) {}

  std::string profile() const;
  bool profile_was_named() const;
  // Visits the profile in both files, credentials first. false: neither has it. Errors: a file is there but
  // unreadable.
  Result<bool> visit(const VisitSetting& visit) const { return this->visit(profile(), visit); }
  Result<bool> visit(const std::string& name, const VisitSetting& visit) const;
  // A path in a setting or a variable: ~/ is the home directory.
  std::string expand(const std::string& path) const;

 private:
  std::string path(std::string_view variable, std::string_view below_home) const;
  Environment environment_;
};

}  // namespace cloister::kms
