#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "builder/build.h"
#include "builder/ramdisk.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

using image::FileTree;
using image::Node;
using image::Spool;
using Take = std::function<Status(ByteView)>;

constexpr std::size_t kChunk = 256 * 1024;  // bytes

Status stream_file(const std::string& path, const Take& take) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  Bytes chunk(kChunk);
  while (true) {
    ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n < 0) return fail_errno(path);
    if (n == 0) return {};
    TRY(take(ByteView(chunk).first(static_cast<std::size_t>(n))));
  }
}

// Whether a section holds the file's bytes.
Result<bool> same_bytes(const image::Eif& image, const image::EifSection& section, const std::string& path) {
  sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(path);
  bool same = true;
  Bytes chunk;
  TRY(image.stream(section, [&](ByteView bytes) -> Status {
    if (!same) return {};
    chunk.resize(bytes.size());
    for (std::size_t done = 0; done < chunk.size();) {
      ssize_t n = ::read(fd.get(), chunk.data() + done, chunk.size() - done);
      if (n < 0) return fail_errno(path);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
      if (done == chunk.size()) break;
    }
    same = std::equal(bytes.begin(), bytes.end(), chunk.begin());
    return {};
  }));
  std::uint8_t more = 0;
  if (same && ::read(fd.get(), &more, 1) != 0) same = false;
  return same;
}

// What differs between two entries of the same name; empty: nothing.
Result<std::string> compare_nodes(const Node& actual, const Spool& actual_spool, const Node& wanted,
                                  const Spool& wanted_spool) {
  if ((actual.mode & S_IFMT) != (wanted.mode & S_IFMT)) return "another type";
  if (actual.mode != wanted.mode)
    return fmt::format("mode {:o}, not {:o}", actual.mode & 07777, wanted.mode & 07777);
  if (actual.uid != wanted.uid || actual.gid != wanted.gid)
    return fmt::format("owner {}:{}, not {}:{}", actual.uid, actual.gid, wanted.uid, wanted.gid);
  if (actual.link != wanted.link) return "leads elsewhere";
  if (actual.device_major != wanted.device_major || actual.device_minor != wanted.device_minor)
    return "another device";
  if (actual.content.size != wanted.content.size)
    return fmt::format("{} bytes, not {}", actual.content.size, wanted.content.size);
  Bytes left;
  Bytes right;
  for (std::uint64_t done = 0; done < actual.content.size; done += left.size()) {
    left.resize(std::min<std::uint64_t>(kChunk, actual.content.size - done));
    right.resize(left.size());
    TRY(actual_spool.read(actual.content.offset + done, left));
    TRY(wanted_spool.read(wanted.content.offset + done, right));
    if (left != right) return "other content";
  }
  return "";
}

// A tree and where its contents are.
struct Unpacked {
  Spool spool;
  FileTree tree;
};

Status compare_trees(const Unpacked& actual, const Unpacked& wanted, const std::string& where,
                     std::vector<std::string>& out) {
  for (const auto& [path, node] : wanted.tree.entries()) {
    const Node* there = actual.tree.find(path);
    if (there == nullptr) {
      out.push_back(fmt::format("{}: /{}: missing", where, path));
      continue;
    }
    auto what = TRY(compare_nodes(*there, actual.spool, node, wanted.spool));
    if (!what.empty()) out.push_back(fmt::format("{}: /{}: {}", where, path, what));
  }
  for (const auto& [path, node] : actual.tree.entries()) {
    if (wanted.tree.find(path) == nullptr)
      out.push_back(fmt::format("{}: /{}: not of the recipe", where, path));
  }
  return {};
}

Status compare_ramdisk(const image::Eif& image, const image::EifSection& section, const std::string& path,
                       std::size_t number, const WorkFolder& work, std::vector<std::string>& out) {
  auto where = fmt::format("ramdisk {}", number);
  if (TRY(same_bytes(image, section, path))) return {};
  auto before = out.size();
  Unpacked wanted{TRY(Spool::create(work.path())), {}};
  wanted.tree = TRY(read_ramdisk([&](const Take& take) { return stream_file(path, take); }, wanted.spool));
  Unpacked actual{TRY(Spool::create(work.path())), {}};
  auto tree = read_ramdisk([&](const Take& take) { return image.stream(section, take); }, actual.spool);
  if (!tree) {
    out.push_back(fmt::format("{}: not one of Cloister's: {}", where, tree.error().message()));
    return {};
  }
  actual.tree = std::move(*tree);
  TRY(compare_trees(actual, wanted, where, out));
  if (out.size() == before)
    out.push_back(
        fmt::format("{}: the same files, packed in another way (another version of libzstd?)", where));
  return {};
}

}  // namespace

Result<std::vector<std::string>> differences(const image::Eif& image, const Composition& wanted,
                                             const WorkFolder& work) {
  std::vector<std::string> out;
  const auto& parts = wanted.parts;
  if (image.architecture() != parts.architecture)
    out.push_back(fmt::format("architecture: {}, not {}", to_string(image.architecture()),
                              to_string(parts.architecture)));
  if (!TRY(same_bytes(image, image.kernel(), parts.kernel_path))) out.emplace_back("kernel: other content");
  auto command_line = TRY(image.command_line());
  if (command_line != parts.command_line)
    out.push_back(fmt::format("command line: '{}', not '{}'", command_line, parts.command_line));
  auto metadata = TRY(image.metadata());
  if (as_text(metadata) != parts.metadata) out.emplace_back("metadata: another text (it is not measured)");
  if (image.default_memory() != parts.default_memory || image.default_cpus() != parts.default_cpus)
    out.emplace_back("default memory or processors (not measured)");
  auto ramdisks = image.ramdisks();
  if (ramdisks.size() != parts.ramdisk_paths.size())
    out.push_back(fmt::format("{} ramdisks, not {}", ramdisks.size(), parts.ramdisk_paths.size()));
  for (std::size_t i = 0; i < std::min(ramdisks.size(), parts.ramdisk_paths.size()); ++i)
    TRY(compare_ramdisk(image, ramdisks[i], parts.ramdisk_paths[i], i + 1, work, out));
  if (out.size() > kMaxDifferences) {
    auto rest = out.size() - kMaxDifferences;
    out.resize(kMaxDifferences);
    out.push_back(fmt::format("and {} more", rest));
  }
  return out;
}

}  // namespace cloister::builder
