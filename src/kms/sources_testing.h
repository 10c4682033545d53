// A machine for tests of credential sources: variables, a home, and a network that answers from a script.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>

#include "http/scripted_stream.h"
#include "kms/sources.h"
#include "sys/file.h"

namespace cloister::kms {

inline constexpr sys::UnixMillis kTestNow = 1'800'000'000'000;  // 2027-01-15T08:00:00Z

// Takes what is written, and never answers.
class SilentStream final : public sys::Stream {
 public:
  Result<std::size_t> read_some(MutableByteView) override {
    return fail(ErrorKind::unavailable, "timed out");
  }
  Status write_all(ByteView) override { return {}; }
  Status shutdown_write() override { return {}; }
  void set_deadline(sys::Deadline) override {}
  int descriptor() const override { return -1; }
};

class SourcesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/cloister-aws-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
    ASSERT_TRUE(sys::make_directories(home_ + "/.aws"));
    variables_["HOME"] = home_;
    variables_["AWS_REGION"] = "eu-central-1";
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  void config(std::string_view text) {
    ASSERT_TRUE(sys::write_file_atomic(home_ + "/.aws/config", as_bytes(text)));
  }

  // The next connection is answered so; the last script goes for all that follow. "": nobody answers there,
  // "-": nobody takes the connection.
  void answer(std::string script) { scripts_.push_back(std::move(script)); }
  static std::string http(int status, std::string_view body) {
    return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
  }
  static std::string document(std::string_view name) {
    return fmt::format(
        R"({{"Code":"Success","AccessKeyId":"ASIA{:X<16}","SecretAccessKey":"s/{}","Token":"t/{}","Expiration":"2027-01-15T09:00:00Z"}})",
        name, name, name);
  }
  static std::string session(std::string_view operation, std::string_view name) {
    return http(
        200, fmt::format(
                 "<{0}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{0}Result><Credentials>"
                 "<AccessKeyId>ASIA{1:X<16}</AccessKeyId><SecretAccessKey>s/{1}</SecretAccessKey>"
                 "<SessionToken>t/{1}</SessionToken><Expiration>2027-01-15T09:00:00Z</Expiration>"
                 "</Credentials></{0}Result></{0}Response>",
                 operation, name));
  }

  Surroundings surroundings(SessionScope* scope = nullptr) {
    return {[this](std::string_view name) -> std::optional<std::string> {
              auto found = variables_.find(std::string(name));
              return found == variables_.end() ? std::nullopt : std::optional(found->second);
            },
            [this](const ServiceUrl& service, sys::Deadline) { return dial(service); }, clock_, scope};
  }

  Result<std::unique_ptr<sys::Stream>> dial(const ServiceUrl& service) {
    dialled_.push_back(host_field(service));
    sent_.emplace_back(std::make_unique<std::string>());
    auto script = scripts_.empty() ? "-" : scripts_[std::min(dialled_.size(), scripts_.size()) - 1];
    if (script == "-") return fail(ErrorKind::unavailable, "no route");
    if (script.empty()) return std::unique_ptr<sys::Stream>(std::make_unique<SilentStream>());
    return std::unique_ptr<sys::Stream>(
        std::make_unique<http::ScriptedStream>(script, SIZE_MAX, sent_.back().get()));
  }

  static std::string text_of(const Secret& secret) { return std::string(as_text(secret.view())); }

  sys::FixedClock clock_{kTestNow};
  std::string home_;
  std::map<std::string, std::string> variables_;
  std::vector<std::string> scripts_;
  std::vector<std::string> dialled_;                // host[:port] of each connection
  std::vector<std::unique_ptr<std::string>> sent_;  // over each
};

}  // namespace cloister::kms
