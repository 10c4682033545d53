#include "builder/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

namespace cloister::builder {

namespace {

using image::FileTree;
using image::Node;
using Archive = std::unique_ptr<archive, int (*)(archive*)>;

constexpr std::size_t kReadBlock = 256 * 1024;  // bytes
constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr mode_t kKeptPermissions = 01777;

struct Entry {
  std::string path;
  Node node;
  std::string hard_link;  // its target, for a second name
};

// A layer, read but not applied: what it takes away comes before what it adds, whatever the order in the
// file.
struct Layer {
  std::vector<std::string> opaque;
  std::vector<std::string> removed;
  std::vector<Entry> added;
};

std::unexpected<Error> broken(archive* tar) {
  const char* why = archive_error_string(tar);
  return fail(ErrorKind::corrupt, "tar: {}", why == nullptr ? "unreadable" : why);
}

Result<image::Extent> spool_content(archive* tar, image::Spool& spool, const std::string& path) {
  image::Extent extent{spool.position(), 0};
  Bytes zeros(kReadBlock);
  while (true) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    int answer = archive_read_data_block(tar, &block, &size, &offset);
    if (answer == ARCHIVE_EOF) break;
    if (answer != ARCHIVE_OK) return broken(tar);
    auto at = static_cast<std::uint64_t>(offset);
    if (at > image::kMaxTreeFile) return fail(ErrorKind::exhausted, "{} is larger than 4 GiB", path);
    while (spool.position() - extent.offset < at) {  // a hole of a sparse file
      auto gap = std::min<std::uint64_t>(zeros.size(), at - (spool.position() - extent.offset));
      TRY(spool.append(ByteView(zeros).first(gap)));
    }
    TRY(spool.append({static_cast<const std::uint8_t*>(block), size}));
  }
  extent.size = spool.position() - extent.offset;
  return extent;
}

Result<std::string> text(const char* value, std::string_view what) {
  if (value == nullptr) return fail(ErrorKind::corrupt, "tar: {} that cannot be read", what);
  return std::string(value);
}

// The root of the archive ("./") has no name of its own in a tree.
bool is_root(std::string_view name) {
  return name.find_first_not_of("./") == std::string_view::npos &&
         name.find("..") == std::string_view::npos && !name.starts_with('/');
}

Result<Node> read_node(archive* tar, archive_entry* entry, const std::string& path, image::Spool& spool) {
  Node node;
  node.mode = archive_entry_filetype(entry) | (archive_entry_perm(entry) & kKeptPermissions);
  auto uid = archive_entry_uid(entry);
  auto gid = archive_entry_gid(entry);
  if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
    return fail(ErrorKind::invalid, "{} has an owner out of range", path);
  node.uid = static_cast<std::uint32_t>(uid);
  node.gid = static_cast<std::uint32_t>(gid);
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      node.content = TRY(spool_content(tar, spool, path));
      return node;
    case AE_IFDIR:
      return node;
    case AE_IFLNK:
      node.link = TRY(text(archive_entry_symlink(entry), "a link"));
      node.mode = S_IFLNK | 0777;
      if (node.link.empty() || node.link.size() > image::kMaxTreePath)
        return fail(ErrorKind::invalid, "{} is a link to a name of {} bytes", path, node.link.size());
      return node;
    default:
      return fail(ErrorKind::invalid, "{} is neither file, directory nor link", path);
  }
}

// Notes a whiteout; false: an ordinary entry.
bool note_whiteout(const std::string& path, Layer& layer) {
  auto slash = path.rfind('/');
  auto directory = slash == std::string::npos ? "" : path.substr(0, slash);
  auto name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name == kOpaque) {
    layer.opaque.push_back(directory);
  } else if (name.starts_with(kWhiteout)) {
    auto victim = name.substr(kWhiteout.size());
    if (victim.empty() || victim == "." || victim == "..") return true;  // names nothing
    layer.removed.push_back(directory.empty() ? victim : directory + "/" + victim);
  } else {
    return false;
  }
  return true;
}

Status read_entry(archive* tar, archive_entry* entry, const LayerRules& rules, image::Spool& spool,
                  Layer& layer) {
  auto name = TRY(text(archive_entry_pathname(entry), "a name"));
  if (is_root(name)) return {};
  auto path = TRY(image::normal_path(name));
  if (rules.whiteouts && note_whiteout(path, layer)) return {};
  if (is_mount_point_content(path)) return {};
  Entry out{path, {}, {}};
  if (const char* target = archive_entry_hardlink(entry)) {
    out.hard_link = TRY(image::normal_path(target).context(fmt::format("hard link {}", path)));
  } else {
    out.node = TRY(read_node(tar, entry, path, spool));
  }
  layer.added.push_back(std::move(out));
  if (layer.added.size() > image::kMaxTreeEntries)
    return fail(ErrorKind::exhausted, "more than {} entries", image::kMaxTreeEntries);
  return {};
}

Result<Layer> read_layer(const std::string& path, const LayerRules& rules, image::Spool& spool) {
  Archive tar(archive_read_new(), archive_read_free);
  if (!tar) return fail(ErrorKind::exhausted, "no memory for libarchive");
  archive_read_support_format_tar(tar.get());
  archive_read_support_format_empty(tar.get());
  if (archive_read_open_filename(tar.get(), path.c_str(), kReadBlock) != ARCHIVE_OK) return broken(tar.get());
  Layer layer;
  while (true) {
    archive_entry* entry = nullptr;
    int answer = archive_read_next_header(tar.get(), &entry);
    if (answer == ARCHIVE_EOF) return layer;
    // A warning is about names in another character set: they are bytes here.
    if (answer != ARCHIVE_OK && answer != ARCHIVE_WARN) return broken(tar.get());
    TRY(read_entry(tar.get(), entry, rules, spool, layer));
  }
}

}  // namespace

bool is_mount_point_content(std::string_view path) {
  static constexpr std::array<std::string_view, 5> kMountPoints = {"dev/", "proc/", "sys/", "run/", "tmp/"};
  for (auto point : kMountPoints) {
    if (path.starts_with(point)) return true;
  }
  return path == ".dockerenv";
}

Status apply_layer(const std::string& tar_file, const LayerRules& rules, FileTree& tree,
                   image::Spool& spool) {
  auto layer = TRY(read_layer(tar_file, rules, spool));
  for (const auto& path : layer.opaque) {
    if (path.empty()) {
      tree = FileTree();
    } else {
      tree.clear_directory(TRY(tree.resolve(path)));
    }
  }
  for (const auto& path : layer.removed) tree.remove(TRY(tree.resolve(path)));
  for (auto& entry : layer.added) {
    if (entry.hard_link.empty()) {
      TRY(tree.put(entry.path, std::move(entry.node)));
    } else {
      TRY(tree.put_hard_link(entry.path, entry.hard_link));
    }
  }
  return {};
}

}  // namespace cloister::builder
