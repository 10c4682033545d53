#include "enclave/consent.h"

#include <gtest/gtest.h>

namespace cloister::enclave {
namespace {

ErrorKind outcome(const package::Terms& terms, const JobOrder& order) {
  auto checked = check_consent(terms, order);
  return checked ? ErrorKind::internal : checked.error().kind();  // internal stands for: agreed
}

class ConsentTest : public ::testing::Test {
 protected:
  ConsentTest() { terms_.writes = {"output", "model", "cache"}; }
  package::Terms terms_;
  std::unique_ptr<JobOrder> order_ = std::make_unique<JobOrder>();
};

TEST_F(ConsentTest, OutputNeedsNone) {
  EXPECT_EQ(outcome({}, *order_), ErrorKind::internal);
}

TEST_F(ConsentTest, EveryOtherDirectoryMustBeNamedWhole) {
  for (auto names : {"", "model/", "cache/", "mode/l/cache/", "model/cachex/", "xmodel/cache/", "model"}) {
    ASSERT_TRUE(order_->writes.set(names, "writes"));
    EXPECT_EQ(outcome(terms_, *order_), ErrorKind::denied) << names;
  }
  for (auto names : {"model/cache/", "cache/model/", "other/cache/model/"}) {
    ASSERT_TRUE(order_->writes.set(names, "writes"));
    EXPECT_EQ(outcome(terms_, *order_), ErrorKind::internal) << names;
  }
}

TEST_F(ConsentTest, ABundleIsMadeOnlyIfTheTermsSaySo) {
  order_->diagnostics = 1;
  EXPECT_EQ(outcome({}, *order_), ErrorKind::invalid);
  package::Terms talking;
  talking.diagnostics = true;
  EXPECT_EQ(outcome(talking, *order_), ErrorKind::internal);
}

}  // namespace
}  // namespace cloister::enclave
