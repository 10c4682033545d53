#include "package/tar.h"

#include <algorithm>
#include <charconv>

#include "sys/dir.h"

namespace cloister::package {

namespace {

// Offsets and widths in bytes of the ustar header's fields (POSIX.1-2017 pax, "ustar Interchange Format").
struct Field {
  std::size_t offset;
  std::size_t width;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kMtime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr std::size_t kTypeOffset = 156;
constexpr Field kLinkname{157, 100};
constexpr Field kMagicVersion{257, 8};
constexpr Field kDevMajor{329, 8};
constexpr Field kDevMinor{337, 8};
constexpr Field kPrefix{345, 155};
constexpr std::string_view kUstar{"ustar\00000", 8};  // magic and version

constexpr std::uint64_t kMaxOctalSize = 077777777777;  // 8 GiB - 1: what the size field holds
constexpr std::size_t kShownPath = 64;                 // bytes of a path that cannot be, in an error
constexpr std::string_view kPaxName = "pax";           // nobody reads it

// Writing

void put_text(Bytes& block, Field field, std::string_view text) {
  std::ranges::copy(text, block.begin() + static_cast<std::ptrdiff_t>(field.offset));
}

// width - 1 octal digits and a NUL.
void put_octal(Bytes& block, Field field, std::uint64_t value) {
  for (auto at = field.offset + field.width - 1; at-- > field.offset; value >>= 3) {
    block[at] = static_cast<std::uint8_t>('0' + (value & 7));
  }
}

std::uint32_t checksum(ByteView block) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    bool own_field = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.width;
    sum += own_field ? std::uint8_t{' '} : block[i];
  }
  return sum;
}

Bytes header_block(TarType type, std::string_view name, std::string_view link, std::uint64_t size,
                   std::uint32_t mode, std::uint64_t mtime) {
  Bytes block(kTarBlock);
  put_text(block, kName, name);
  put_octal(block, kMode, mode);
  put_octal(block, kUid, 0);
  put_octal(block, kGid, 0);
  put_octal(block, kSize, size);
  put_octal(block, kMtime, mtime);
  block[kTypeOffset] = static_cast<std::uint8_t>(type);
  put_text(block, kLinkname, link);
  put_text(block, kMagicVersion, kUstar);
  put_octal(block, kDevMajor, 0);
  put_octal(block, kDevMinor, 0);
  put_octal(block, {kChecksum.offset, kChecksum.width - 1}, checksum(block));
  block[kChecksum.offset + kChecksum.width - 1] = ' ';
  return block;
}

// "LENGTH KEY=VALUE\n", where the length counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  auto rest = key.size() + value.size() + 3;
  auto length = rest + std::to_string(rest).size();
  length = rest + std::to_string(length).size();
  return fmt::format("{} {}={}\n", length, key, value);
}

void append_padding(Bytes& out) {
  out.resize(out.size() + tar_padding(out.size()));
}

// Reading

std::unexpected<Error> corrupt(std::string_view why) {
  return fail(ErrorKind::corrupt, "tar: {}", why);
}

ByteView field_of(ByteView block, Field field) {
  return block.subspan(field.offset, field.width);
}

// As put_octal writes it, and no other way.
Result<std::uint64_t> parse_octal(ByteView block, Field field) {
  auto bytes = field_of(block, field);
  std::uint64_t value = 0;
  for (auto digit : bytes.first(bytes.size() - 1)) {
    if (digit < '0' || digit > '7') return corrupt("a number that is not octal");
    value = value << 3 | static_cast<std::uint64_t>(digit - '0');
  }
  if (bytes.back() != 0) return corrupt("a number without its end");
  return value;
}

// Up to the first NUL; what follows must be NUL as well.
Result<std::string> parse_text(ByteView block, Field field) {
  auto text = as_text(field_of(block, field));
  auto end = std::min(text.find('\0'), text.size());
  if (text.find_first_not_of('\0', end) != std::string_view::npos)
    return corrupt("bytes after the end of a name");
  return std::string(text.substr(0, end));
}

Status check_frame(ByteView block) {
  if (block.size() != kTarBlock) return corrupt("a block of the wrong size");
  auto sum = TRY(parse_octal(block, {kChecksum.offset, kChecksum.width - 1}));
  if (block[kChecksum.offset + kChecksum.width - 1] != ' ' || sum != checksum(block))
    return corrupt("wrong checksum");
  if (as_text(field_of(block, kMagicVersion)) != kUstar) return corrupt("not a ustar header");
  if (std::ranges::any_of(field_of(block, kPrefix), [](std::uint8_t c) { return c != 0; })) {
    return corrupt("a name in two parts");
  }
  return {};
}

Result<TarType> parse_type(std::uint8_t flag) {
  switch (flag) {
    case '0':
      return TarType::file;
    case '2':
      return TarType::symlink;
    case '5':
      return TarType::directory;
    case 'x':
      return TarType::pax;
    case '1':
      return fail(ErrorKind::invalid, "tar: a hard link");
    case '3':
    case '4':
      return fail(ErrorKind::invalid, "tar: a device");
    case '6':
      return fail(ErrorKind::invalid, "tar: a fifo");
    default:
      return fail(ErrorKind::invalid, "tar: a member of unknown type {}", flag);
  }
}

Status check_entry(const TarEntry& entry) {
  TRY(check_tar_path(entry.path));
  if (entry.mode > 0777)
    return fail(ErrorKind::invalid, "{}: a mode of {:o} (setuid, setgid or sticky)", entry.path, entry.mode);
  if (entry.size > kMaxTarFile)
    return fail(ErrorKind::exhausted, "{}: a size of {} bytes", entry.path, entry.size);
  if (entry.type != TarType::file && entry.size != 0) return corrupt("content where none may be");
  if (entry.type == TarType::symlink) return check_link_target(entry.path, entry.link);
  if (!entry.link.empty()) return corrupt("a link target where none may be");
  return {};
}

Result<std::uint64_t> parse_decimal(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return corrupt("a pax number that is none");
  if (text.size() > 1 && text.front() == '0') return corrupt("a pax number with leading zeros");
  return value;
}

Status put_record(PaxRecords& records, std::string_view key, std::string_view value) {
  if (value.empty() || value.find('\0') != std::string_view::npos)
    return corrupt("an empty pax value or one with a NUL byte");
  if (key == "path" && !records.path)
    records.path = value;
  else if (key == "linkpath" && !records.link)
    records.link = value;
  else if (key == "size" && !records.size)
    records.size = TRY(parse_decimal(value));
  else
    return fail(ErrorKind::invalid, "tar: pax record '{}' is not allowed or stands twice", key.substr(0, 64));
  return {};
}

}  // namespace

std::size_t tar_padding(std::uint64_t size) {
  return static_cast<std::size_t>((kTarBlock - size % kTarBlock) % kTarBlock);
}

Bytes encode_tar_entry(const TarEntry& entry) {
  // Directories end in a slash, so that older readers see them for what they are.
  auto name = entry.type == TarType::directory ? entry.path + "/" : entry.path;
  std::string records;
  if (name.size() > kName.width) records += pax_record("path", name);
  if (entry.link.size() > kLinkname.width) records += pax_record("linkpath", entry.link);
  if (entry.size > kMaxOctalSize) records += pax_record("size", std::to_string(entry.size));
  Bytes out;
  if (!records.empty()) {
    out = header_block(TarType::pax, kPaxName, {}, records.size(), 0644, 0);
    append(out, as_bytes(records));
    append_padding(out);
  }
  auto size = entry.size > kMaxOctalSize ? 0 : entry.size;
  append(out, header_block(entry.type, std::string_view(name).substr(0, kName.width),
                           std::string_view(entry.link).substr(0, kLinkname.width), size, entry.mode,
                           entry.mtime));
  return out;
}

Result<PaxRecords> parse_pax(ByteView bytes) {
  PaxRecords records;
  auto rest = as_text(bytes);
  while (!rest.empty()) {
    auto space = rest.substr(0, 8).find(' ');
    if (space == std::string_view::npos) return corrupt("a pax record without a length");
    auto length = TRY(parse_decimal(rest.substr(0, space)));
    if (length <= space + 1 || length > rest.size() || rest[length - 1] != '\n') {
      return corrupt("a pax record that is cut");
    }
    auto record = rest.substr(space + 1, length - space - 2);
    auto equals = record.find('=');
    if (equals == std::string_view::npos) return corrupt("a pax record without a value");
    TRY(put_record(records, record.substr(0, equals), record.substr(equals + 1)));
    rest.remove_prefix(length);
  }
  return records;
}

Result<TarEntry> parse_tar_block(ByteView block, const PaxRecords& overrides) {
  TRY(check_frame(block));
  TarEntry entry;
  entry.type = TRY(parse_type(block[kTypeOffset]));
  entry.size = TRY(parse_octal(block, kSize));
  if (entry.type == TarType::pax) return entry;
  entry.mode = static_cast<std::uint32_t>(TRY(parse_octal(block, kMode)));
  entry.mtime = TRY(parse_octal(block, kMtime));
  entry.path = TRY(parse_text(block, kName));
  entry.link = TRY(parse_text(block, kLinkname));
  if (overrides.path) entry.path = *overrides.path;
  if (overrides.link) entry.link = *overrides.link;
  if (overrides.size) entry.size = *overrides.size;
  if (entry.type == TarType::directory) {
    if (!entry.path.ends_with('/')) return corrupt("a directory without its slash");
    entry.path.pop_back();
  }
  TRY(check_entry(entry));
  return entry;
}

Status check_tar_path(std::string_view path) {
  if (path.size() > kMaxTarPath)
    return fail(ErrorKind::invalid, "a path of {} bytes (up to {} allowed)", path.size(), kMaxTarPath);
  auto parts =
      TRY(sys::split_relative(path).context(fmt::format("tar: the path '{}'", path.substr(0, kShownPath))));
  if (parts.size() > kMaxTarDepth)
    return fail(ErrorKind::invalid, "{}: deeper than {} directories", path, kMaxTarDepth);
  return {};
}

Status check_link_target(std::string_view path, std::string_view target) {
  auto refuse = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "symbolic link {}: {}", path, why);
  };
  if (target.empty() || target.size() > kMaxTarPath) return refuse("its target is empty or too long");
  if (target.find('\0') != std::string_view::npos) return refuse("its target holds a NUL byte");
  if (target.starts_with('/')) return refuse("it leads to an absolute path");
  auto may_rise = std::ranges::count(path, '/');
  bool named = false;
  while (!target.empty()) {
    auto slash = std::min(target.find('/'), target.size());
    auto part = target.substr(0, slash);
    target.remove_prefix(std::min(slash + 1, target.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..")
      named = true;
    else if (named)
      return refuse("its target has '..' after a name");
    else if (--may_rise < 0)
      return refuse("it leads out of the package");
  }
  return {};
}

}  // namespace cloister::package
