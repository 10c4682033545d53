#include "host/qemu_programs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::host {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

Machine example() {
  return {
      .programs = {.qemu = "/q/qemu-system-x86_64", .vsock_device = "/q/vsock", .security_module = "/c/nsm"},
      .directory = "/run/cloister/one",
      .kernel = "/run/cloister/one/kernel",
      .initrd = "/run/cloister/one/initrd",
      .command_line = "reboot=k console=ttyS0",
      .memory_mib = 512,
      .cpus = 2,
      .module_id = "i-emulated-enc0",
      .development_root = "/state/root",
      .pcrs = {{0, Bytes(48, 0xab)}, {8, Bytes(48, 0xcd)}}};
}

TEST(QemuCommands, GiveTheModuleWhatWasMeasured) {
  auto command = security_module_command(example());
  EXPECT_THAT(command, Contains("0=" + to_hex(Bytes(48, 0xab))));
  EXPECT_THAT(command, Contains("8=" + to_hex(Bytes(48, 0xcd))));
  auto debug = example();
  debug.pcrs.clear();
  EXPECT_THAT(security_module_command(debug), Not(Contains("--pcr")));
}

TEST(QemuCommands, AppendOnlyWhatIsNotMeasuredOnNitroEither) {
  EXPECT_THAT(machine_command(example()), Contains("reboot=k console=ttyS0 reboot=t cloister.parent_cid=2"));
}

// A machine has a console only where somebody asked for one: else the enclave's words are for nobody.
TEST(QemuCommands, KeepAConsoleOnlyOnRequest) {
  EXPECT_THAT(machine_command(example()), Contains("null"));
  auto debug = example();
  debug.console = "/run/cloister/one/console.log";
  EXPECT_THAT(machine_command(debug), Contains("file:/run/cloister/one/console.log"));
}

TEST(QemuCommands, GiveNoDiskAndNoNetwork) {
  for (const auto& word : machine_command(example())) {
    EXPECT_THAT(word, Not(HasSubstr("net"))) << word;
    EXPECT_THAT(word, Not(HasSubstr("drive"))) << word;
  }
  EXPECT_THAT(machine_command(example()), Contains("-nodefaults"));
}

TEST(QemuPrograms, ThatAreMissingAreNamedWithTheCommandThatBringsThem) {
  auto found = find_qemu_programs([](std::string_view name) -> std::optional<std::string> {
    if (name == "CLOISTER_QEMU") return "/nonexistent";
    return std::nullopt;
  });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind(), ErrorKind::not_found);
  EXPECT_THAT(found.error().message(), HasSubstr("qemu-system-x86_64"));
  EXPECT_THAT(found.error().hint(), HasSubstr("cloister-fetch-qemu"));
}

}  // namespace
}  // namespace cloister::host
