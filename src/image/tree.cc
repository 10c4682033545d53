#include "image/tree.h"

#include <sys/stat.h>

namespace cloister::image {

namespace {

constexpr int kMaxLinksFollowed = 40;  // as the kernel's MAXSYMLINKS

std::string parent_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string joined(const std::string& directory, std::string_view rest) {
  return directory.empty() ? std::string(rest) : fmt::format("{}/{}", directory, rest);
}

// The entries below a directory are one range of the map: after "dir/", before "dir0" ('0' follows '/').
std::pair<std::string, std::string> range_below(const std::string& path) {
  return {path + "/", path + "0"};
}

}  // namespace

Node directory_node(mode_t permissions) {
  Node node;
  node.mode = S_IFDIR | permissions;
  return node;
}

Node link_node(std::string target) {
  Node node;
  node.mode = S_IFLNK | 0777;
  node.link = std::move(target);
  return node;
}

Result<std::string> normal_path(std::string_view name) {
  if (name.starts_with('/')) return fail(ErrorKind::invalid, "the name '{}' is absolute", name);
  if (name.find('\0') != std::string_view::npos) return fail(ErrorKind::invalid, "a name with a zero byte");
  std::string out;
  for (std::size_t at = 0; at <= name.size();) {
    auto end = std::min(name.find('/', at), name.size());
    auto part = name.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorKind::invalid, "the name '{}' leads out of its root ('..')", name);
    out = joined(out, part);
  }
  if (out.empty()) return fail(ErrorKind::invalid, "the name '{}' is empty", name);
  if (out.size() > kMaxTreePath) return fail(ErrorKind::invalid, "a name of {} bytes", out.size());
  return out;
}

const Node* FileTree::find(const std::string& path) const {
  auto found = entries_.find(path);
  return found == entries_.end() ? nullptr : &found->second;
}

// Walks the parents of `path` from the root. A link found among them is put in place of what was walked, and
// the walk begins anew; ".." cannot climb above the root, as in a root directory of its own.
Result<std::string> FileTree::resolve(const std::string& path) const {
  std::string todo = path;
  std::string done;
  int followed = 0;
  while (true) {
    auto slash = todo.find('/');
    if (slash == std::string::npos) {
      if (todo.empty() || todo == "." || todo == "..")
        return fail(ErrorKind::invalid, "{}: a link among its parents leads nowhere", path);
      return joined(done, todo);
    }
    std::string part = todo.substr(0, slash);
    todo = todo.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      done = parent_of(done);
      continue;
    }
    auto here = joined(done, part);
    const Node* node = find(here);
    if (node == nullptr || !node->is_link()) {
      done = std::move(here);
      continue;
    }
    if (++followed > kMaxLinksFollowed)
      return fail(ErrorKind::invalid, "{}: its parents' links go round", path);
    if (node->link.starts_with('/')) done.clear();
    todo = fmt::format("{}/{}", node->link, todo);
    if (todo.size() > 2 * kMaxTreePath) return fail(ErrorKind::invalid, "{}: its parents' links grow", path);
  }
}

Status FileTree::make_parents(const std::string& path) {
  for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
    auto [entry, added] = entries_.try_emplace(path.substr(0, at), directory_node());
    if (!added && !entry->second.is_directory())
      return fail(ErrorKind::invalid, "{}: {} is not a directory", path, entry->first);
  }
  return {};
}

Status FileTree::put(const std::string& path, Node node) {
  auto place = TRY(resolve(path));
  if (place.size() > kMaxTreePath) return fail(ErrorKind::invalid, "a name of {} bytes", place.size());
  TRY(make_parents(place));
  if (node.content.size > kMaxTreeFile)
    return fail(ErrorKind::exhausted, "{} is larger than 4 GiB, the most that a ramdisk's file can have",
                path);
  auto old = entries_.find(place);
  if (old != entries_.end() && !(old->second.is_directory() && node.is_directory())) remove(place);
  entries_.insert_or_assign(place, std::move(node));
  if (entries_.size() > kMaxTreeEntries)
    return fail(ErrorKind::exhausted, "more than {} entries", kMaxTreeEntries);
  return {};
}

Status FileTree::put_hard_link(const std::string& path, const std::string& target) {
  auto source = TRY(resolve(target));
  auto found = entries_.find(source);
  if (found == entries_.end() || !found->second.is_file())
    return fail(ErrorKind::invalid, "{} is a hard link to {}, which is no file of this image", path, target);
  if (TRY(resolve(path)) == source) return {};
  if (found->second.hard_link == 0) found->second.hard_link = next_hard_link_++;
  auto copy = found->second;
  return put(path, std::move(copy));
}

bool FileTree::remove(const std::string& path) {
  clear_directory(path);
  return entries_.erase(path) > 0;
}

void FileTree::clear_directory(const std::string& path) {
  auto [from, to] = range_below(path);
  entries_.erase(entries_.lower_bound(from), entries_.lower_bound(to));
}

std::uint64_t FileTree::content_bytes() const {
  std::uint64_t sum = 0;
  std::map<std::uint64_t, bool> counted;
  for (const auto& [path, node] : entries_) {
    if (node.hard_link != 0 && !counted.emplace(node.hard_link, true).second) continue;
    sum += node.content.size;
  }
  return sum;
}

}  // namespace cloister::image
