#include "host/allow_list.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "sys/file.h"

namespace cloister::host {
namespace {

using testing::HasSubstr;

TEST(Destination, ReadsWhatConnectSays) {
  auto to = parse_destination("KMS.us-east-1.AmazonAWS.com:443");
  ASSERT_TRUE(to);
  EXPECT_EQ(to->host, "kms.us-east-1.amazonaws.com");
  EXPECT_EQ(to->port, 443U);
  for (const std::string& text :
       {std::string(), std::string("kms"), std::string(":443"), std::string("kms:"), std::string("kms:0"),
        std::string("kms:65536"), std::string("kms:44x"), std::string("kms:-1"), std::string("k ms:443"),
        std::string("kms/path:443"), std::string("user@kms:443"), std::string("kms\r\nHost: x:443"),
        std::string("[::1]:443"), std::string(254, 'a') + ":443"}) {
    EXPECT_FALSE(parse_destination(text)) << text;
  }
}

TEST(Route, MatchesNamesAndWhatIsBelowThem) {
  auto exact = *Route::parse("kms.example.com:443");
  EXPECT_TRUE(exact.matches("kms.example.com", 443));
  EXPECT_FALSE(exact.matches("kms.example.com", 444));
  EXPECT_FALSE(exact.matches("a.kms.example.com", 443));
  EXPECT_FALSE(exact.matches("kms.example.com.evil", 443));
  auto below = *Route::parse("*.Example.com:443");
  EXPECT_TRUE(below.matches("kms.example.com", 443));
  EXPECT_TRUE(below.matches("a.b.example.com", 443));
  EXPECT_FALSE(below.matches("example.com", 443));
  EXPECT_FALSE(below.matches(".example.com", 443));
  EXPECT_FALSE(below.matches("evilexample.com", 443));
  for (const char* text :
       {"*:443", "k*.example.com:443", "*.*.example.com:443", "a.*.com:443", "*example.com:443"})
    EXPECT_FALSE(Route::parse(text)) << text;
}

Environment environment_of(std::map<std::string, std::string, std::less<>> variables) {
  return [variables](std::string_view name) -> std::optional<std::string> {
    auto at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  };
}

std::vector<std::string> hosts_of(const std::vector<Route>& routes) {
  std::vector<std::string> out;
  for (const auto& route : routes) out.push_back(route.host);
  return out;
}

TEST(ServiceRoutes, AreAllNamesOfTheRegionsEndpoint) {
  auto routes = service_routes("kms", environment_of({{"AWS_REGION", "cn-north-1"}}));
  ASSERT_TRUE(routes);
  EXPECT_THAT(hosts_of(*routes),
              testing::ElementsAre("kms.cn-north-1.amazonaws.com.cn", "kms-fips.cn-north-1.amazonaws.com.cn",
                                   "kms.cn-north-1.api.amazonwebservices.com.cn",
                                   "kms-fips.cn-north-1.api.amazonwebservices.com.cn"));
  auto sts = service_routes("sts", environment_of({{"AWS_REGION", "eu-west-1"}}));
  ASSERT_TRUE(sts);
  EXPECT_EQ(sts->front().host, "sts.eu-west-1.amazonaws.com");
  EXPECT_FALSE(service_routes("kms", environment_of({})));
  auto unknown = service_routes("gopher", environment_of({{"AWS_REGION", "eu-west-1"}}));
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().hint(), HasSubstr("kms, sts, secretsmanager are known"));
}

TEST(ServiceRoutes, LeadToTheEndpointThatThePersonNames) {
  auto routes = service_routes("kms", environment_of({{"AWS_REGION", "eu-west-1"},
                                                      {"AWS_ENDPOINT_URL_KMS", "https://127.0.0.1:8480"}}));
  ASSERT_TRUE(routes);
  ASSERT_EQ(routes->size(), 1U);
  EXPECT_EQ(routes->front().host, "kms.eu-west-1.cloister.test");
  EXPECT_EQ(routes->front().target->to_string(), "tcp://127.0.0.1:8480");
}

class AllowList : public testing::Test {
 protected:
  Result<std::vector<Route>> read(std::string_view text) {
    // One process a test: a name of its own, since they run side by side.
    auto path = fmt::format("{}allow-list-{}.yaml", testing::TempDir(), ::getpid());
    EXPECT_TRUE(sys::write_file_atomic(path, as_bytes(text)));
    return read_allow_list(path);
  }
  std::string why_refused(std::string_view text) {
    auto routes = read(text);
    return routes ? "it was taken" : routes.error().message();
  }
};

TEST_F(AllowList, IsVsockProxysFile) {
  auto routes = read(
      "# from /etc/nitro_enclaves\n"
      "allowlist:\n"
      "- {address: kms.us-east-2.amazonaws.com, port: 443}\n"
      "- {address: kms-fips.us-east-2.amazonaws.com, port: 443}\n"
      "- address: '*.s3.amazonaws.com'\n"
      "  port: 443\n"
      "- {address: 127.0.0.1, port: 8080}\n");
  ASSERT_TRUE(routes) << routes.error().message();
  EXPECT_THAT(hosts_of(*routes),
              testing::ElementsAre("kms.us-east-2.amazonaws.com", "kms-fips.us-east-2.amazonaws.com",
                                   "*.s3.amazonaws.com", "127.0.0.1"));
  EXPECT_EQ(routes->back().port, 8080U);
}

TEST_F(AllowList, WithAMistakeIsRefusedWithItsPlace) {
  EXPECT_THAT(why_refused(""), HasSubstr("there is no list 'allowlist'"));
  EXPECT_THAT(why_refused("allowlist:\n"), HasSubstr("there is no list 'allowlist'"));
  EXPECT_THAT(why_refused("- {address: a, port: 1}\n"), HasSubstr("there is no list 'allowlist'"));
  EXPECT_THAT(why_refused("allowlist:\n- {address: a, port: 1}\n- {address: b}\n"),
              HasSubstr("line 3: not {address: HOST, port: PORT}"));
  EXPECT_THAT(why_refused("allowlist:\n- {address: a, port: 1, proto: udp}\n"),
              HasSubstr("line 2: not {address"));
  EXPECT_THAT(why_refused("allowlist:\n- {address: [a], port: 1}\n"),
              HasSubstr("line 2: address and port are"));
  EXPECT_THAT(why_refused("allowlist:\n- {address: a b, port: 1}\n"),
              HasSubstr("line 2: 'a b:1' is not HOST:PORT"));
  EXPECT_THAT(why_refused("allowlist:\n- {address: '*', port: 443}\n"),
              HasSubstr("line 2: '*:443': a wildcard"));
  EXPECT_THAT(why_refused("allowlist: {\n"), HasSubstr(".yaml: line "));
  EXPECT_THAT(why_refused(std::string(kMaxAllowListFile + 1, '#')), HasSubstr("larger"));
  EXPECT_EQ(read_allow_list("/nonexistent/list.yaml").error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cloister::host
