// The table of requests against docs/openapi.yaml: what is served is documented, and the other way round.
#include "enclave/routes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "sys/file.h"

namespace cloister::enclave {
namespace {

using Requests = std::set<std::string>;

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// The methods and paths below `paths:`, by the layout that the file promises. tests/test_openapi.py reads the
// same file with a YAML parser, so that another layout cannot hide a request.
Requests documented() {
  auto bytes = sys::read_file(CLOISTER_TEST_DATA "/../../docs/openapi.yaml", 1024 * 1024).value();
  std::istringstream lines{std::string(as_text(bytes))};
  Requests out;
  bool inside = false;
  std::string path;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.front() != ' ') inside = line == "paths:";
    auto indent = line.find_first_not_of(' ');
    if (!inside || !line.ends_with(':')) continue;
    auto name = line.substr(indent, line.size() - indent - 1);
    if (indent == 2) path = name;
    if (indent == 4 && name != "parameters") out.insert(upper(name) + " " + path);
  }
  return out;
}

TEST(Routes, AreThoseOfTheDocumentation) {
  Requests served;
  for (const auto& route : Session::routes()) {
    auto [at, fresh] = served.insert(std::string(route.method) + " " + std::string(route.path));
    EXPECT_TRUE(fresh) << *at << " twice";
  }
  EXPECT_FALSE(served.empty());
  EXPECT_EQ(served, documented());
}

}  // namespace
}  // namespace cloister::enclave
