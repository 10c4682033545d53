#include "image/cpio.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace cloister::image {

namespace {

constexpr std::string_view kMagic = "070701";
constexpr std::string_view kTrailer = "TRAILER!!!";
constexpr std::uint64_t kAlignment = 4;  // bytes; of names (with their header) and contents
constexpr std::size_t kFieldDigits = 8;
constexpr std::size_t kContentChunk = 256 * 1024;  // bytes

std::uint64_t padding_after(std::uint64_t size) {
  return (kAlignment - size % kAlignment) % kAlignment;
}

struct Fields {
  std::uint64_t inode = 0, mode = 0, uid = 0, gid = 0, links = 1, size = 0, major = 0, minor = 0;
};

Status write_zeros(std::uint64_t count, const ByteSink& sink) {
  static constexpr ByteArray<kAlignment> kZeros{};
  return count == 0 ? Status{} : sink(ByteView(kZeros).first(count));
}

Status write_header(const Fields& f, std::string_view name, const ByteSink& sink) {
  // The fields: inode, mode, uid, gid, links, time, size, device of the file (2), device it is (2), name,
  // check.
  auto text = fmt::format(
      "{}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{}", kMagic, f.inode,
      f.mode, f.uid, f.gid, f.links, 0, f.size, 0, 0, f.major, f.minor, name.size() + 1, 0, name);
  text.push_back('\0');
  TRY(sink(as_bytes(text)));
  return write_zeros(padding_after(text.size()), sink);
}

Status write_content(const Extent& extent, const Spool& spool, const ByteSink& sink) {
  Bytes chunk;
  for (std::uint64_t done = 0; done < extent.size; done += chunk.size()) {
    chunk.resize(std::min<std::uint64_t>(kContentChunk, extent.size - done));
    TRY(spool.read(extent.offset + done, chunk));
    TRY(sink(chunk));
  }
  return write_zeros(padding_after(extent.size), sink);
}

// Which names a hard-linked file has, and which inode number its first name got.
struct Links {
  std::uint64_t count = 0;
  std::uint64_t written = 0;
  std::uint64_t inode = 0;
};

}  // namespace

Status write_cpio(const FileTree& tree, const Spool& spool, const ByteSink& sink) {
  std::map<std::uint64_t, Links> groups;
  for (const auto& [path, node] : tree.entries()) {
    if (node.hard_link != 0) ++groups[node.hard_link].count;
  }
  std::uint64_t inode = 0;
  for (const auto& [path, node] : tree.entries()) {
    Fields fields{++inode, node.mode,         node.uid,         node.gid, node.is_directory() ? 2U : 1U,
                  0,       node.device_major, node.device_minor};
    Extent content = node.content;
    if (node.hard_link != 0) {
      auto& group = groups[node.hard_link];
      if (group.written == 0) group.inode = fields.inode;
      fields.inode = group.inode;
      fields.links = group.count;
      if (++group.written < group.count) content.size = 0;
    }
    fields.size = node.is_link() ? node.link.size() : content.size;
    TRY(write_header(fields, path, sink));
    if (node.is_link()) {
      TRY(sink(as_bytes(node.link)));
      TRY(write_zeros(padding_after(node.link.size()), sink));
    } else {
      TRY(write_content(content, spool, sink));
    }
  }
  return write_header({}, kTrailer, sink);
}

void CpioReader::expect(State state, std::uint64_t size) {
  state_ = state;
  missing_ = size;
  piece_.clear();
}

Status CpioReader::write(ByteView bytes) {
  while (!bytes.empty()) {
    if (state_ == State::ended) {
      if (std::any_of(bytes.begin(), bytes.end(), [](auto byte) { return byte != 0; }))
        return fail(ErrorKind::corrupt, "cpio: bytes after its end");
      return {};
    }
    auto part = bytes.first(std::min<std::uint64_t>(missing_, bytes.size()));
    bytes = bytes.subspan(part.size());
    missing_ -= part.size();
    TRY(take(part));
    while (missing_ == 0 && state_ != State::ended) TRY(next());
  }
  return {};
}

Status CpioReader::take(ByteView part) {
  if (state_ == State::content && node_.is_file()) return spool_.append(part);
  append(piece_, part);
  return {};
}

// What was read is whole: on to the next.
Status CpioReader::next() {
  switch (state_) {
    case State::header:
      return read_header();
    case State::name:
      TRY(read_name());
      if (state_ != State::ended) expect(State::name_padding, padding_after(kHeaderSize + name_size_));
      return {};
    case State::name_padding:
      expect(State::content, node_.content.size);
      node_.content.offset = spool_.position();
      return {};
    case State::content:
      if (node_.is_link()) node_.link = std::string(as_text(piece_));
      expect(State::content_padding, padding_after(node_.content.size));
      return {};
    case State::content_padding:
      TRY(end_entry());
      expect(State::header, kHeaderSize);
      return {};
    case State::ended:
      return {};
  }
  return fail(ErrorKind::internal, "cpio: no such state");
}

Status CpioReader::read_header() {
  auto text = as_text(piece_);
  if (!text.starts_with(kMagic)) return fail(ErrorKind::corrupt, "cpio: not a newc archive");
  std::array<std::uint32_t, 13> field{};
  for (std::size_t i = 0; i < field.size(); ++i) {
    const char* digits = text.data() + kMagic.size() + i * kFieldDigits;
    auto [end, error] = std::from_chars(digits, digits + kFieldDigits, field[i], 16);
    if (error != std::errc() || end != digits + kFieldDigits)
      return fail(ErrorKind::corrupt, "cpio: a field of a header is not hexadecimal");
  }
  node_ = {};
  inode_ = field[0];
  node_.mode = field[1];
  node_.uid = field[2];
  node_.gid = field[3];
  links_ = field[4];
  node_.content.size = field[6];
  node_.device_major = field[9];
  node_.device_minor = field[10];
  name_size_ = field[11];
  if (name_size_ == 0 || name_size_ > kMaxTreePath + 1)
    return fail(ErrorKind::corrupt, "cpio: a name of {} bytes", name_size_);
  if (!node_.is_file() && node_.content.size > kMaxTreePath)
    return fail(ErrorKind::corrupt, "cpio: {} bytes in what is no file", node_.content.size);
  expect(State::name, name_size_);
  return {};
}

Status CpioReader::read_name() {
  auto name = as_text(piece_);
  if (name.back() != '\0') return fail(ErrorKind::corrupt, "cpio: a name without an end");
  name.remove_suffix(1);
  if (name == kTrailer) {
    state_ = State::ended;
    return {};
  }
  path_ = TRY(normal_path(name));
  if (path_ != name) return fail(ErrorKind::corrupt, "cpio: the name '{}' is not in normal form", name);
  return {};
}

Status CpioReader::end_entry() {
  if (!node_.is_file()) node_.content = {};
  if (node_.is_file() && links_ > 1) linked_[inode_].push_back(path_);
  if (tree_.find(path_) != nullptr) return fail(ErrorKind::corrupt, "cpio: {} stands there twice", path_);
  if (TRY(tree_.resolve(path_)) != path_)
    return fail(ErrorKind::corrupt, "cpio: {} lies behind a link", path_);
  return tree_.put(path_, std::move(node_));
}

Status CpioReader::finish() {
  if (state_ != State::ended) return fail(ErrorKind::corrupt, "cpio: its end is missing");
  for (const auto& [inode, paths] : linked_) {
    for (std::size_t i = 0; i + 1 < paths.size(); ++i) TRY(tree_.put_hard_link(paths[i], paths.back()));
  }
  return {};
}

}  // namespace cloister::image
