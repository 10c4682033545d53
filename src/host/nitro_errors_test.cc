#include "host/nitro_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::host {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kEnd =
    "Failed connections: 1\n"
    "[ E39 ] Enclave process connection failure. Such error appears when …\n\n"
    "For more details, please visit https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html#E39\n";

// One report as nitro-cli writes it when BACKTRACE=1.
std::string report(const std::string& code, const std::string& words, const std::string& cause) {
  return "[ " + code + " ] " + words + "\n\nFor more details, please visit https://docs.aws.amazon.com/…#" +
         code +
         "\n\nBacktrace:\n  Action: Run Enclave\n  Subactions:\n    Failed to execute command `Run`\n    " +
         cause +
         "\n  Root error file: src/enclave_proc/resource_manager.rs\n  Root error line: 371\n  Version: "
         "1.5.0\n\n"
         "If you open a support ticket, please provide the error log found at "
         "\"/var/log/nitro_enclaves/err.log\"\n";
}

Error of(const std::string& text, int code = 39) {
  return nitro_error("run-enclave", {.code = code, .out = "", .err = text});
}

TEST(NitroErrors, TheFirstCodeCountsAndNotTheE39AfterIt) {
  auto error = of("Start allocating memory...\n" +
                  report("E27", "Insufficient memory available. User provided `memory` is 4096 MB, which …",
                         "Failed to allocate entire memory (1024 MB remained)") +
                  kEnd);
  EXPECT_EQ(error.kind(), ErrorKind::exhausted);
  EXPECT_EQ(
      error.message(),
      "less memory is set aside for enclaves, and free, than --memory asks for (nitro-cli E27: Failed to "
      "allocate entire memory (1024 MB remained))");
  EXPECT_THAT(error.hint(), HasSubstr("cloister host prepare --memory"));
  EXPECT_THAT(of(kEnd).message(), HasSubstr("E39"));
}

TEST(NitroErrors, WithoutABacktraceTheSentenceStands) {
  auto error = of(std::string("[ E36 ] Enclave boot failure. Such error appears when …\n") + kEnd);
  EXPECT_EQ(error.message(), "the enclave did not boot: it gave no sign of life (nitro-cli E36)");
  EXPECT_THAT(error.hint(), HasSubstr("--backend qemu"));
}

TEST(NitroErrors, CausesHaveHintsOfTheirOwn) {
  struct Case {
    const char* code;
    const char* cause;
    const char* hint;
  };
  for (const auto& [code, cause, hint] :
       {Case{"E29", "The enclave cannot start because full CPU cores have not been set", "must be even"},
        Case{"E29", "The memory region's pages and the CPUs belong to different NUMA nodes", "another node"},
        Case{"E29", "The enclave cannot be created because no CPUs are available in the pool",
             "host prepare --cpus"},
        Case{"E29", "An error has occurred: 5 (rc: -1)", "dmesg"},
        Case{"E36", "Enclave boot heartbeat vsock connection - vsock bind error", "only one at a time"},
        Case{"E36", "Waiting on enclave to boot failed with error VsockTimeoutError", "--backend qemu"},
        Case{"E19",
             "Failed to open device file: Os { code: 13, kind: PermissionDenied, message: \"Permission "
             "denied\" }",
             "--user NAME"},
        Case{"E19", "Failed to open CPU pool file: No such file or directory (os error 2)",
             "cloister host prepare"}}) {
    auto error = of(report(code, "words", cause) + kEnd);
    EXPECT_THAT(error.hint(), HasSubstr(hint)) << cause;
    EXPECT_THAT(error.message(), HasSubstr(cause));
  }
}

TEST(NitroErrors, TheFileOfE19IsNamed) {
  auto error =
      of("[ E19 ] File operation failure. Such error …\nFile: '/dev/nitro_enclaves', failing operation: "
         "'Open'.\n\nFor more …\n");
  EXPECT_THAT(error.message(), HasSubstr("File: '/dev/nitro_enclaves', failing operation: 'Open'."));
}

TEST(NitroErrors, EveryCodeGivesALineAndAHint) {
  for (int number = 0; number <= 99; ++number) {
    auto code = fmt::format("E{:02}", number);
    auto error = of(report(code, "Some words.", "the cause"));
    EXPECT_THAT(error.message(), HasSubstr(code));
    EXPECT_THAT(error.message(), HasSubstr("the cause"));
    EXPECT_FALSE(error.hint().empty()) << code;
    EXPECT_EQ(error.message().find('\n'), std::string::npos);
  }
}

TEST(NitroErrors, WhatHasNoCodeIsQuoted) {
  auto error = of("\nerror: Found argument '--enclave-name' which wasn't expected\n\nUSAGE: …", 2);
  EXPECT_EQ(
      error.message(),
      "nitro-cli run-enclave: exit code 2: error: Found argument '--enclave-name' which wasn't expected");
  EXPECT_THAT(error.hint(), HasSubstr("1.2 or newer"));
  EXPECT_THAT(of("", 137).message(), HasSubstr("exit code 137: it said nothing"));
}

TEST(NitroErrors, NothingItSaysDrivesATerminalOrFillsIt) {
  for (const auto& text :
       {report("E29", "x", "\x1b[2Jgone\r"), std::string("[ E77 ] \x1b[2J\n"), std::string("\x1b[2J\n")}) {
    auto message = of(text).message();
    EXPECT_THAT(message, Not(HasSubstr("\x1b"))) << message;
  }
  EXPECT_LT(of(report("E29", "x", std::string(100000, 'y'))).message().size(), 600U);
  EXPECT_LT(of("[ E77 ] " + std::string(100000, 'y')).message().size(), 600U);
  EXPECT_LT(of(std::string(100000, 'y')).message().size(), 600U);
}

}  // namespace
}  // namespace cloister::host
