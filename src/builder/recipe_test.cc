#include "builder/recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "builder/work.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

class RecipeTest : public ::testing::Test {
 protected:
  RecipeTest() : folder_(*WorkFolder::create("/tmp")) {
    EXPECT_TRUE(sys::write_file_atomic(folder_.below("here.txt"), as_bytes("text")));
    EXPECT_EQ(::symlink("/etc", folder_.below("out").c_str()), 0);
  }
  Result<Recipe> load(const std::string& text) {
    EXPECT_TRUE(sys::write_file_atomic(folder_.below("recipe.yaml"), as_bytes(text)));
    return load_recipe(folder_.below("recipe.yaml"));
  }
  // The refusal of a whole recipe with these lines added after the third.
  std::string refusal(const std::string& more) {
    auto loaded = load("name: a\nversion: 1\nbase: {directory: .}\n" + more);
    return loaded ? "" : loaded.error().message().substr(folder_.below("recipe.yaml: ").size());
  }
  WorkFolder folder_;
};

}  // namespace

TEST_F(RecipeTest, ReadsEveryMember) {
  auto recipe = load(R"(
name: ocr
version: 1.2
architecture: arm64
mode: emulated
base: {debian: bookworm, snapshot: 20260901T000000Z, packages: [python3, g++, libc6=2.36-9]}
pip: here.txt
pip_unpinned: true
files:
  - {from: here.txt, to: /opt/x/y.txt, mode: "0600", owner: 5:6}
environment: {A: b, LANG: C.UTF-8}
kms_ca: here.txt
kernel: here.txt
command_line: quiet loglevel=1
memory_mib: 700
cpus: 4
)");
  ASSERT_TRUE(recipe) << recipe.error().message();
  EXPECT_EQ(recipe->architecture, image::Architecture::arm64);
  EXPECT_EQ(recipe->mode, Mode::emulated);
  EXPECT_EQ(std::get<DebianBase>(recipe->base).packages.size(), 3U);
  EXPECT_EQ(recipe->files[0].to, "opt/x/y.txt");
  EXPECT_EQ(recipe->files[0].mode, 0600U);
  EXPECT_EQ(recipe->files[0].gid, 6U);
  EXPECT_EQ(recipe->environment.at("LANG"), "C.UTF-8");
  EXPECT_EQ(recipe->memory_mib, 700U);
}

TEST_F(RecipeTest, RefusesWithTheLine) {
  EXPECT_EQ(refusal(""), "");
  EXPECT_EQ(refusal("packages: [x]\n"), "line 4: unknown member 'packages'");
  EXPECT_EQ(refusal("mode: production\nmode: emulated\n"), "line 5: 'mode' stands there twice");
  EXPECT_EQ(refusal("mode: simulated\n"), "line 4: 'simulated' is neither emulated nor production");
  EXPECT_EQ(refusal("architecture: riscv\n"), "line 4: 'riscv' is neither x86_64 nor arm64");
  EXPECT_EQ(refusal("cpus: 0\n"), "line 4: '0' is not a whole number from 1 to 1024");
  EXPECT_EQ(refusal("pip: nowhere.txt\n"), "line 4: there is no nowhere.txt in the recipe's folder");
  EXPECT_EQ(
      refusal("pip: ../../etc/passwd\n"),
      "line 4: ../../etc/passwd leads out of the recipe's folder: write an absolute path if you mean it");
  EXPECT_EQ(refusal("pip: out/passwd\n"),
            "line 4: out/passwd leads out of the recipe's folder: write an absolute path if you mean it");
  EXPECT_EQ(refusal("pip: /etc/passwd\n"), "");
  EXPECT_EQ(refusal("environment: {1A: b}\n"), "line 4: '1A' is not a variable's name");
  EXPECT_EQ(refusal("environment: {A: \"b\\nC=d\"}\n"), "line 4: control characters in a value");
  EXPECT_EQ(refusal("files:\n  - {from: here.txt, to: x}\n"), "line 5: 'x' is no absolute path in the image");
  EXPECT_EQ(refusal("files:\n  - {from: here.txt, to: /a/../b}\n"),
            "line 5: the name 'a/../b' leads out of its root ('..')");
  EXPECT_EQ(refusal("files:\n  - {from: here.txt}\n"), "line 5: 'to' is missing");
  EXPECT_EQ(refusal("files:\n  - {from: here.txt, to: /x, mode: \"4755\"}\n"),
            "line 5: '4755' is not a mode from 0 to 0777");
  EXPECT_EQ(refusal("trust: here.txt\nkms_ca: here.txt\n"),
            "line 1: a trust file names its authorities: give trust or kms_ca, not both");
  EXPECT_TRUE(refusal("x: [\n").find("line") == 0);
}

TEST_F(RecipeTest, RefusesBases) {
  auto base = [&](const std::string& text) {
    auto loaded = load("name: a\nversion: 1\nbase: " + text + "\n");
    return loaded ? "" : loaded.error().message().substr(folder_.below("recipe.yaml: ").size());
  };
  EXPECT_EQ(base("none"), "");
  EXPECT_EQ(base("scratch"), "line 3: 'none', or one of debian, directory and oci is wanted");
  EXPECT_EQ(base("{directory: ., oci: .}"), "line 3: one of debian, directory and oci is wanted");
  EXPECT_EQ(base("{debian: bookworm, snapshot: today}"),
            "line 3: 'today' is not a snapshot's time, such as 20260901T000000Z");
  EXPECT_EQ(base("{debian: --help}"), "line 3: '--help' is not a name of a Debian release, such as bookworm");
  EXPECT_EQ(base("{debian: bookworm, packages: [\"--x\"]}"), "line 3: '--x' is not a package's name");
  EXPECT_EQ(base("{debian: bookworm, packages: [\"a,b\"]}"), "line 3: 'a,b' is not a package's name");
  EXPECT_EQ(load("name: a\nversion: 1\nbase: none\npip: here.txt\n")
                .error()
                .message()
                .substr(folder_.below("recipe.yaml: ").size()),
            "line 1: a base of none has no pip, files or without: it is the supervisor alone");
  EXPECT_EQ(load("name: a\n").error().message().substr(folder_.below("recipe.yaml: ").size()),
            "line 1: 'version' is missing");
}

}  // namespace cloister::builder
