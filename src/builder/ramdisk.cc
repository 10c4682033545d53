#include "builder/ramdisk.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <array>

#include "builder/program.h"
#include "codec/image_contents.h"
#include "image/cpio.h"
#include "package/zstd_stream.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

using image::FileTree;
using image::Node;
using image::Spool;

// Measured (docs/images.md): level 15 takes ten times the time for 1.5% less. Windows of up to 8 MiB
// up to 8 MiB are what Linux's decompressor takes without a second thought.
constexpr int kRamdiskLevel = 9;
constexpr std::uint32_t kConsoleMajor = 5;  // Documentation/admin-guide/devices.txt: /dev/console
constexpr std::uint32_t kConsoleMinor = 1;

constexpr std::array<const char*, 6> kEmptyDirectories = {"dev", "newroot", "proc", "run", "sys", "tmp"};
// What the first ramdisk owns: these names, and everything below the two folders.
constexpr std::array<std::string_view, 5> kOwned = {"init", "newroot", "usr/lib/cloister", "etc/cloister",
                                                    "dev/console"};
// Folders on the way to them: a runtime may add to these, but not make links of them.
constexpr std::array<const char*, 9> kShared = {"dev", "etc", "proc",    "run",    "sys",
                                                "tmp", "usr", "usr/lib", "newroot"};

Node file_node(const image::Extent& content, mode_t permissions) {
  Node node;
  node.mode = S_IFREG | permissions;
  node.content = content;
  return node;
}

Node console_node() {
  Node node;
  node.mode = S_IFCHR | 0600;
  node.device_major = kConsoleMajor;
  node.device_minor = kConsoleMinor;
  return node;
}

}  // namespace

Result<FileTree> compose_boot(const BootParts& parts, Spool& spool) {
  std::uint16_t machine = parts.architecture == image::Architecture::arm64 ? EM_AARCH64 : EM_X86_64;
  std::string variables;
  for (const auto& [name, value] : parts.environment) variables += fmt::format("{}={}\n", name, value);
  FileTree tree;
  for (const char* name : kEmptyDirectories)
    TRY(tree.put(name, image::directory_node(std::string_view(name) == "tmp" ? 01777 : 0755)));
  auto init = TRY(add_program(parts.init, machine, spool));
  TRY(tree.put("init", file_node(init, 0755)));
  auto supervisor = TRY(add_program(parts.supervisor, machine, spool));
  TRY(tree.put("usr/lib/cloister/cloisterd", file_node(supervisor, 0755)));
  auto trust = TRY(spool.add(as_bytes(parts.trust)));
  TRY(tree.put("etc/cloister/trust.json", file_node(trust, 0644)));
  auto environment = TRY(spool.add(as_bytes(variables)));
  TRY(tree.put("etc/cloister/environment", file_node(environment, 0644)));
  // Where the command line ends is not measured; what it has to be is, here (docs/formats/eif.md).
  auto command_line = TRY(spool.add(as_bytes(parts.command_line)));
  TRY(tree.put("etc/cloister/command_line", file_node(command_line, 0644)));
  TRY(tree.put("dev/console", console_node()));
  return tree;
}

Status add_contents(FileTree& boot, const FileTree& runtime, Spool& spool) {
  codec::Contents contents;
  for (const auto* tree : std::initializer_list<const FileTree*>{&boot, &runtime}) {
    for (const auto& [path, node] : tree->entries()) {
      if (!node.is_file() && !node.is_link()) continue;
      ++contents.files;
      contents.bytes += node.is_link() ? node.link.size() : node.content.size;
    }
  }
  auto text = TRY(spool.add(as_bytes(codec::to_text(contents))));
  return boot.put("etc/cloister/contents", file_node(text, 0644));
}

Status check_runtime(const FileTree& runtime) {
  for (const auto& [path, node] : runtime.entries()) {
    for (auto owned : kOwned) {
      bool below = path.starts_with(owned) && path.size() > owned.size() && path[owned.size()] == '/';
      if (path != owned && !below) continue;
      return fail(ErrorKind::denied,
                  "the root file system has /{}, a name that the enclave's own first ramdisk has", path);
    }
  }
  for (const char* name : kShared) {
    const Node* node = runtime.find(name);
    if (node != nullptr && !node->is_directory())
      return fail(ErrorKind::denied,
                  "/{} of the root file system is not a directory: it would hide the enclave's own", name);
  }
  return {};
}

Status write_ramdisk(const FileTree& tree, const Spool& spool, const std::string& path) {
  sys::Fd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out) return fail_errno(path);
  package::Compressor compressor(kRamdiskLevel,
                                 [&](ByteView bytes) { return sys::write_all(out.get(), bytes, path); });
  TRY(image::write_cpio(tree, spool, [&](ByteView bytes) { return compressor.write(bytes); }));
  return compressor.finish();
}

Result<FileTree> read_ramdisk(const std::function<Status(const std::function<Status(ByteView)>&)>& read,
                              Spool& spool) {
  FileTree tree;
  image::CpioReader cpio(tree, spool);
  package::Decompressor decompressor([&](ByteView bytes) { return cpio.write(bytes); });
  TRY(read([&](ByteView bytes) { return decompressor.write(bytes); }));
  TRY(decompressor.finish());
  TRY(cpio.finish());
  return tree;
}

}  // namespace cloister::builder
