#include "enclave/image_environment.h"

#include <gtest/gtest.h>

#include <string>

namespace cloister::enclave {
namespace {

TEST(ImageEnvironmentFile, IsLinesOfNameAndValue) {
  EXPECT_EQ(parse_image_environment("").value(), ImageEnvironment());
  EXPECT_EQ(parse_image_environment("A=b=c\nLANG=C.UTF-8\nEMPTY=\n").value(),
            (ImageEnvironment{{"A", "b=c"}, {"LANG", "C.UTF-8"}, {"EMPTY", ""}}));
  EXPECT_EQ(load_image_environment("/nonexistent/environment").value(), ImageEnvironment());
}

TEST(ImageEnvironmentFile, ThatIsNoneIsRefused) {
  for (std::string text : {"A", "A=b", "=b\n", "A=b\n\n", "A=b\nA=c\n"})
    EXPECT_EQ(parse_image_environment(text).error().kind(), ErrorKind::invalid) << text;
  EXPECT_FALSE(parse_image_environment(std::string("A=b\0c\n", 6)));
}

}  // namespace
}  // namespace cloister::enclave
