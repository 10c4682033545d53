#include "host/job_list.h"

#include <gtest/gtest.h>

namespace cloister::host {
namespace {

TEST(JobList, ReadsWhatIsDocumentedAndNoMore) {
  auto jobs = parse_jobs(R"({"jobs":[
      {"id":"01","state":"failed","package":"p","entry":"e","error":{"kind":"denied","message":"no key"}},
      {"id":"02","state":"exited","exit_code":7,"name":"ocr","release":"1","weaker":"cgroup: none here; idmap: old kernel",
       "future":[1]}]})");
  ASSERT_TRUE(jobs) << jobs.error().message();
  ASSERT_EQ(jobs->size(), 2U);
  EXPECT_EQ((*jobs)[0].error, "no key");
  EXPECT_FALSE((*jobs)[0].exit_code);
  EXPECT_EQ((*jobs)[1].exit_code, 7);
  EXPECT_TRUE((*jobs)[1].ended());
  EXPECT_EQ(weaker_walls(*jobs), (std::vector<std::string>{"cgroup: none here", "idmap: old kernel"}));
}

TEST(JobList, KnowsNothingOfWallsBeforeAJobHasHadThem) {
  EXPECT_EQ(weaker_walls({}), std::nullopt);
  EXPECT_EQ(weaker_walls({{.state = "failed"}, {.state = "unpacking"}}), std::nullopt);
  EXPECT_EQ(weaker_walls({{.state = "failed"}, {.state = "exited"}}), std::vector<std::string>());
}

TEST(JobList, RefusesAHostileEnclavesAnswer) {
  std::string deep(100, '[');
  for (const auto& body :
       {std::string(), std::string("[]"), std::string(R"({"jobs":{}})"), std::string(R"({"jobs":[1]})"),
        R"({"jobs":)" + deep, std::string(R"({"jobs":[],"jobs":[]})")}) {
    auto jobs = parse_jobs(body);
    ASSERT_FALSE(jobs) << body;
    EXPECT_EQ(jobs.error().kind(), ErrorKind::corrupt) << body;
  }
  auto odd = parse_jobs(R"({"jobs":[{"id":7,"state":[],"exit_code":-1,"error":"text"}]})");
  ASSERT_TRUE(odd);
  EXPECT_TRUE((*odd)[0].id.empty());
  EXPECT_FALSE((*odd)[0].exit_code);
}

}  // namespace
}  // namespace cloister::host
