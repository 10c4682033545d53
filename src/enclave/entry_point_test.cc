#include "enclave/entry_point.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "sys/file.h"

namespace cloister::enclave {
namespace {

class EntryPoint : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/cloister-entry-XXXXXX";
    root_ = ::mkdtemp(name.data());
    package_ = *sys::Dir::open(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& name, std::string_view text, mode_t mode = 0644) {
    std::filesystem::create_directories((std::filesystem::path(root_) / name).parent_path());
    ASSERT_TRUE(sys::write_file_atomic(root_ + "/" + name, as_bytes(text), mode));
  }
  ErrorKind refusal(const std::string& entry) {
    auto chosen = choose_command(package_, entry, {"--flag"});
    EXPECT_FALSE(chosen) << entry;
    return chosen ? ErrorKind::internal : chosen.error().kind();
  }

  std::string root_;
  sys::Dir package_;
};

TEST_F(EntryPoint, PythonScriptsAreRunByPythonWithTheirArgumentsBehindThem) {
  write("run.py", "print(1)");
  auto chosen = choose_command(package_, "run.py", {"-c", "import os"});
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->program, "/usr/bin/python3");
  EXPECT_EQ(chosen->argv,
            (std::vector<std::string>{"/usr/bin/python3", "-s", "/app/run.py", "-c", "import os"}));
}

TEST_F(EntryPoint, ExecutablesRunAsTheyAreAndShebangsWithoutTheBitToo) {
  write("bin/tool",
        "\x7f"
        "ELF",
        0755);
  EXPECT_EQ(choose_command(package_, "bin/tool", {})->argv, (std::vector<std::string>{"/app/bin/tool"}));
  write("script", "#!/usr/bin/env -S perl -w\nprint 1;\n");
  EXPECT_EQ(choose_command(package_, "script", {"x"})->argv,
            (std::vector<std::string>{"/usr/bin/env", "-S perl -w", "/app/script", "x"}));
}

// Each of these made the Python sample run the user's own code beside the owner's plaintext.
TEST_F(EntryPoint, NamesThatAreNotFilesOfThePackageAreRefused) {
  write("run.py", "print(1)");
  EXPECT_EQ(refusal("-c"), ErrorKind::denied);
  EXPECT_EQ(refusal("-m"), ErrorKind::denied);
  EXPECT_EQ(refusal("--version"), ErrorKind::denied);
  EXPECT_EQ(refusal("/dataset/evil.py"), ErrorKind::denied);
  EXPECT_EQ(refusal("../dataset/evil.py"), ErrorKind::denied);
  EXPECT_EQ(refusal("sub/../../x.py"), ErrorKind::denied);
  EXPECT_EQ(refusal("./run.py"), ErrorKind::denied);
  EXPECT_EQ(refusal(""), ErrorKind::denied);
  EXPECT_EQ(refusal("missing.py"), ErrorKind::not_found);
}

TEST_F(EntryPoint, ThingsThatCannotRunAreRefused) {
  std::filesystem::create_directory(root_ + "/directory.py");
  EXPECT_EQ(refusal("directory.py"), ErrorKind::denied);
  write("notes.txt", "hello");
  EXPECT_EQ(refusal("notes.txt"), ErrorKind::denied);
  ASSERT_EQ(::mkfifo((root_ + "/fifo.py").c_str(), 0644), 0);
  EXPECT_EQ(refusal("fifo.py"), ErrorKind::denied);
  ASSERT_EQ(::symlink("/etc/passwd", (root_ + "/link.py").c_str()), 0);
  EXPECT_EQ(refusal("link.py"), ErrorKind::denied);
  write("long", "#!" + std::string(4096, 'x'));
  EXPECT_EQ(refusal("long"), ErrorKind::denied);
  write("relative", "#!python3\n");
  EXPECT_EQ(refusal("relative"), ErrorKind::denied);
}

}  // namespace
}  // namespace cloister::enclave
