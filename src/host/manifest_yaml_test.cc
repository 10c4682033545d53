#include "host/manifest_yaml.h"

#include <gtest/gtest.h>

namespace cloister::host {
namespace {

TEST(ManifestYaml, ReadsEveryKey) {
  auto manifest = manifest_from_yaml(R"(
entry_points:
  - main.py
  - name: bin/train
    arguments: ["--epochs=*", "-d", "/dataset/*"]
    max_arguments: 4
reads: [dataset, model]
writes: [output]
stdout: caller
stderr: none
limits: {memory: 2GiB, processes: 64, time: 10min, package: 512MiB}
environment: {LD_LIBRARY_PATH: /app/lib, THREADS: 2, EMPTY: ""}
)");
  ASSERT_TRUE(manifest) << manifest.error().message();
  ASSERT_EQ(manifest->entries.size(), 2u);
  EXPECT_EQ(manifest->entries[1].arguments->max_count, 4u);
  EXPECT_EQ(*manifest->terms.reads, (std::vector<std::string>{"dataset", "model"}));
  EXPECT_EQ(manifest->terms.limits.memory_mib, 2048u);
  EXPECT_EQ(manifest->terms.limits.seconds, 600u);
  EXPECT_EQ(manifest->terms.limits.package_mib, 512u);
  EXPECT_EQ(manifest->terms.limits.processes, 64u);
  EXPECT_EQ(manifest->environment,
            (package::Environment{{"LD_LIBRARY_PATH", "/app/lib"}, {"THREADS", "2"}, {"EMPTY", ""}}));
}

TEST(ManifestYaml, NamesWhatItRefuses) {
  const std::pair<const char*, const char*> rows[] = {
      {"entry_pionts: [a]", "entry_pionts"},
      {"limits: {memory: 2GB}", "memory"},
      {"limits: {memory: 0MiB}", "memory"},
      {"limits: {time: soon}", "time"},
      {"limits: {processes: many}", "processes"},
      {"stdout: owner", "stdout"},
      {"reads: dataset", "reads"},
      {"writes: [output]\nwrites: [model]", "writes"},
      {"- a list", "mapping"},
      {"entry_points: [../escape.py]", "entry point"},
      {"reads: [a/b]", "reads"},
      {"egress: [no-port]", "egress"},
      {"owner_key: abcd", "owner_key"},
      {"environment: [A=1]", "environment: not a mapping"},
      {"environment: {A: [1]}", "A"},
      {"environment: {A: 1, A: 2}", "'A' stands there twice"},
      {"environment: {A-B: 1}", "A-B"},
      {"environment: {HOME: /app}", "Cloister itself sets HOME"},
      {"environment: {PATH: bin}", "PATH"},
      {"environment: {A: \"\\0\"}", "NUL"},
      {"stdout: [", ""},
  };
  for (const auto& [text, named] : rows) {
    auto manifest = manifest_from_yaml(text);
    ASSERT_FALSE(manifest) << text;
    EXPECT_EQ(manifest.error().kind(), ErrorKind::invalid) << text;
    EXPECT_NE(manifest.error().message().find(named), std::string::npos)
        << text << " → " << manifest.error().message();
  }
}

TEST(ManifestYaml, ADirectoryWithoutOneHasNone) {
  auto manifest = load_manifest_yaml("/nonexistent");
  ASSERT_TRUE(manifest);
  EXPECT_FALSE(manifest->has_value());
}

}  // namespace
}  // namespace cloister::host
