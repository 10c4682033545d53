#include "host/zip_directory.h"

#include <sys/stat.h>
#include <time.h>

#include <algorithm>

#include "codec/cbor.h"
#include "sys/read_at.h"

namespace cloister::host {

namespace {

constexpr std::string_view kWhat = "zip";
constexpr const char* kHint =
    "decrypt and unzip it with the sample, look at what is in it, and encrypt the directory: cloister "
    "encrypt -d";

constexpr std::uint32_t kEndMagic = 0x06054b50;
constexpr std::uint32_t kEntryMagic = 0x02014b50;
constexpr std::uint32_t kLocalMagic = 0x04034b50;
constexpr std::uint32_t kDescriptorMagic = 0x08074b50;
constexpr std::size_t kEndSize = 22;    // bytes, without a comment
constexpr std::size_t kEntrySize = 46;  // without name, extra fields and comment
constexpr std::size_t kLocalSize = 30;
constexpr std::size_t kDescriptorSize = 12;  // without its optional magic

constexpr std::uint16_t kEncrypted = 1 << 0;
constexpr std::uint16_t kLevelBits = 3 << 1;   // how hard the compressor tried
constexpr std::uint16_t kDescriptor = 1 << 3;  // sizes and checksum follow the data
constexpr std::uint16_t kUtf8 = 1 << 11;
constexpr std::uint16_t kStored = 0;
constexpr std::uint16_t kDeflated = 8;
constexpr unsigned kUnix = 3;  // what made the entry, and so what its attributes mean
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint32_t kFileMode = 0644;  // of archives that know no permissions
constexpr std::uint32_t kDirectoryMode = 0755;
constexpr std::size_t kShownName = 200;  // bytes of a name in an error

// A cursor for little-endian numbers; the records have been read whole, so it cannot run out.
class Fields {
 public:
  explicit Fields(ByteView bytes) : rest_(bytes) {}
  std::uint16_t u16() { return static_cast<std::uint16_t>(take(2)); }
  std::uint32_t u32() { return take(4); }

 private:
  std::uint32_t take(std::size_t width) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < width && i < rest_.size(); ++i) value |= std::uint32_t{rest_[i]} << (8 * i);
    rest_ = rest_.subspan(std::min(width, rest_.size()));
    return value;
  }
  ByteView rest_;
};

template <class... Args>
std::unexpected<Error> refuse(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(
      Error(kind, "zip: " + fmt::format(format, std::forward<Args>(args)...)).with_hint(kHint));
}

std::string shown(std::string_view name) {
  return fmt::format("'{}'", name.substr(0, kShownName));
}

struct End {
  std::uint32_t entries = 0;
  std::uint32_t size = 0;
  std::uint32_t at = 0;
};

Result<End> read_end(int fd, std::uint64_t file_size) {
  if (file_size < kEndSize) return refuse(ErrorKind::corrupt, "shorter than an empty archive");
  ByteArray<kEndSize> record{};
  TRY(sys::read_at(fd, file_size - kEndSize, record, kWhat));
  Fields fields(record);
  if (fields.u32() != kEndMagic)
    return refuse(ErrorKind::corrupt, "no end of its directory, or something after it");
  auto disk = fields.u16();
  auto first_disk = fields.u16();
  auto here = fields.u16();
  End end{.entries = fields.u16(), .size = fields.u32(), .at = fields.u32()};
  if (fields.u16() != 0) return refuse(ErrorKind::corrupt, "no end of its directory, or something after it");
  if (end.entries == UINT16_MAX || end.size == UINT32_MAX || end.at == UINT32_MAX)
    return refuse(ErrorKind::invalid, "zip64, which no package of the sample's needs");
  if (disk != 0 || first_disk != 0 || here != end.entries)
    return refuse(ErrorKind::invalid, "one part of an archive in several");
  if (end.size > kMaxZipDirectory)
    return refuse(ErrorKind::exhausted, "a directory of {} bytes ({} at most)", end.size, kMaxZipDirectory);
  if (std::uint64_t{end.at} + end.size != file_size - kEndSize)
    return refuse(ErrorKind::corrupt, "its directory is not where its end says, or zip64");
  return end;
}

// `extra`: blocks of type, size, content.
Status check_extra(ByteView extra, std::string_view name) {
  while (!extra.empty()) {
    Fields fields(extra);
    auto type = fields.u16();
    std::size_t size = fields.u16();
    if (extra.size() < 4 + size) return refuse(ErrorKind::corrupt, "{}: malformed extra field", shown(name));
    if (type == kZip64Extra)
      return refuse(ErrorKind::invalid, "{}: zip64, which no package of the sample's needs", shown(name));
    extra = extra.subspan(4 + size);
  }
  return {};
}

Status check_name(std::string_view name, std::uint16_t flags) {
  if (name.find('\\') != std::string_view::npos)
    return refuse(ErrorKind::invalid, "{}: a backslash in its name", shown(name));
  bool ascii = std::ranges::all_of(name, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!ascii && ((flags & kUtf8) == 0 || !codec::is_utf8(as_bytes(name))))
    return refuse(ErrorKind::invalid, "{}: its name is not UTF-8", shown(name));
  auto path = name.ends_with('/') ? name.substr(0, name.size() - 1) : name;
  auto checked = package::check_tar_path(path).context("zip").with_hint(kHint);
  TRY(std::move(checked));
  if (path.substr(0, path.find('/')) == package::kReservedDirectory)
    return refuse(ErrorKind::invalid, "{} is a name that packages reserve", package::kReservedDirectory);
  return {};
}

Status check_how(const ZipEntry& entry) {
  if ((entry.flags & kEncrypted) != 0) return refuse(ErrorKind::invalid, "{}: encrypted", shown(entry.name));
  if ((entry.flags & ~(kLevelBits | kDescriptor | kUtf8)) != 0)
    return refuse(ErrorKind::invalid, "{}: unknown flags {:#06x}", shown(entry.name), entry.flags);
  if (entry.method != kStored && entry.method != kDeflated)
    return refuse(ErrorKind::invalid, "{}: compression method {}, not stored or deflated", shown(entry.name),
                  entry.method);
  if (entry.method == kStored && entry.member.packed != entry.member.size)
    return refuse(ErrorKind::corrupt, "{}: stored, and of two sizes", shown(entry.name));
  return {};
}

// The clock of whoever made the archive, without its zone: taken as UTC.
std::uint64_t unix_time(std::uint32_t when) {
  struct tm parts{};
  parts.tm_sec = static_cast<int>(when & 31) * 2;
  parts.tm_min = static_cast<int>(when >> 5 & 63);
  parts.tm_hour = static_cast<int>(when >> 11 & 31);
  parts.tm_mday = static_cast<int>(when >> 16 & 31);
  parts.tm_mon = static_cast<int>(when >> 21 & 15) - 1;
  parts.tm_year = static_cast<int>(when >> 25) + 80;
  return static_cast<std::uint64_t>(std::max<time_t>(0, ::timegm(&parts)));
}

// Permissions and type, from the attributes that Unix wrote; and from the name, which must agree.
Status set_type(ZipEntry& entry, unsigned made_by, std::uint32_t attributes) {
  bool directory = entry.name.ends_with('/');
  auto mode = made_by == kUnix ? attributes >> 16 : 0;
  auto type = mode & S_IFMT;
  if (type == S_IFLNK) return refuse(ErrorKind::invalid, "{} is a link", shown(entry.name));
  if (type != 0 && type != S_IFREG && type != S_IFDIR)
    return refuse(ErrorKind::invalid, "{} is a device, a fifo or a socket", shown(entry.name));
  if (type != 0 && (type == S_IFDIR) != directory)
    return refuse(ErrorKind::corrupt, "{}: a directory by its name or by its type, not both",
                  shown(entry.name));
  if (directory && (entry.member.size != 0 || entry.member.packed != 0))
    return refuse(ErrorKind::corrupt, "{}: a directory with content", shown(entry.name));
  entry.member.type = directory ? package::TarType::directory : package::TarType::file;
  entry.member.mode = mode != 0 ? mode & 0777 : directory ? kDirectoryMode : kFileMode;
  return {};
}

Result<ZipEntry> read_entry(Reader& reader) {
  auto fixed = reader.bytes(kEntrySize);
  if (!fixed) return refuse(ErrorKind::corrupt, "its directory is cut");
  Fields fields(*fixed);
  if (fields.u32() != kEntryMagic) return refuse(ErrorKind::corrupt, "its directory is damaged");
  ZipEntry entry;
  unsigned made_by = fields.u16() >> 8U;
  fields.u16();  // the version needed: flags and methods say more
  entry.flags = fields.u16();
  entry.method = fields.u16();
  entry.when = fields.u32();
  auto& member = entry.member;
  member.crc = fields.u32();
  member.packed = fields.u32();
  member.size = fields.u32();
  std::size_t name_size = fields.u16();
  std::size_t extra_size = fields.u16();
  std::size_t comment_size = fields.u16();
  auto disk = fields.u16();
  fields.u16();  // text or not
  auto attributes = fields.u32();
  entry.header_at = fields.u32();
  if (reader.remaining() < name_size + extra_size + comment_size)
    return refuse(ErrorKind::corrupt, "its directory is cut");
  entry.name = as_text(TRY(reader.bytes(name_size)));
  auto extra = TRY(reader.bytes(extra_size));
  TRY(reader.bytes(comment_size));
  TRY(check_name(entry.name, entry.flags));
  TRY(check_extra(extra, entry.name));
  if (disk != 0) return refuse(ErrorKind::invalid, "one part of an archive in several");
  TRY(check_how(entry));
  TRY(set_type(entry, made_by, attributes));
  member.deflated = entry.method == kDeflated;
  member.mtime = unix_time(entry.when);
  return entry;
}

// What follows the data where the sizes were not known before.
Result<std::size_t> check_descriptor(int fd, const ZipEntry& entry, std::uint64_t at) {
  ByteArray<4 + kDescriptorSize> bytes{};
  TRY(sys::read_at(fd, at, bytes, kWhat));
  Fields fields(bytes);
  bool marked = fields.u32() == kDescriptorMagic;
  if (!marked) fields = Fields(bytes);
  if (fields.u32() != entry.member.crc || fields.u32() != entry.member.packed ||
      fields.u32() != entry.member.size)
    return refuse(ErrorKind::corrupt, "{}: what follows its data disagrees with the directory",
                  shown(entry.name));
  return marked ? bytes.size() : kDescriptorSize;
}

// Reads the local header; returns where the member ends.
Result<std::uint64_t> check_local(int fd, ZipEntry& entry) {
  ByteArray<kLocalSize> record{};
  TRY(sys::read_at(fd, entry.header_at, record, kWhat));
  Fields fields(record);
  auto magic = fields.u32();
  fields.u16();
  bool same = magic == kLocalMagic && fields.u16() == entry.flags && fields.u16() == entry.method &&
              fields.u32() == entry.when;
  for (auto known : {std::uint64_t{entry.member.crc}, entry.member.packed, entry.member.size}) {
    auto value = fields.u32();
    same = same && (value == known || (value == 0 && (entry.flags & kDescriptor) != 0));
  }
  Bytes name(fields.u16());
  Bytes extra(fields.u16());
  TRY(sys::read_at(fd, entry.header_at + kLocalSize, name, kWhat));
  if (!same || as_text(name) != entry.name)
    return refuse(ErrorKind::corrupt, "{}: its header disagrees with the directory", shown(entry.name));
  TRY(sys::read_at(fd, entry.header_at + kLocalSize + name.size(), extra, kWhat));
  TRY(check_extra(extra, entry.name));
  entry.member.data_at = entry.header_at + kLocalSize + name.size() + extra.size();
  auto end = entry.member.data_at + entry.member.packed;
  if ((entry.flags & kDescriptor) != 0) end += TRY(check_descriptor(fd, entry, end));
  return end;
}

Status check_sizes(const ZipDirectory& directory, std::uint64_t file_size) {
  std::uint64_t total = 0;
  for (const auto& entry : directory.entries) total += entry.member.size;
  if (total > kMaxZipContent)
    return refuse(ErrorKind::exhausted, "{} bytes unpacked ({} at most)", total, kMaxZipContent);
  if (total > kFreeZipContent && total / kMaxZipRatio > file_size)
    return refuse(ErrorKind::exhausted, "{} bytes of it unpack to {}, more than {} for one", file_size, total,
                  kMaxZipRatio);
  return {};
}

}  // namespace

Result<ZipDirectory> read_zip_directory(int fd, std::uint64_t file_size) {
  auto end = TRY(read_end(fd, file_size));
  Bytes table(end.size);
  TRY(sys::read_at(fd, end.at, table, kWhat));
  ZipDirectory directory{.at = end.at, .entries = {}};
  directory.entries.reserve(end.entries);
  Reader reader(table);
  for (std::uint32_t i = 0; i < end.entries; ++i) directory.entries.push_back(TRY(read_entry(reader)));
  if (!reader.empty()) return refuse(ErrorKind::corrupt, "more in its directory than its end says");
  TRY(check_sizes(directory, file_size));
  return directory;
}

Status check_zip_layout(int fd, ZipDirectory& directory) {
  auto& entries = directory.entries;
  std::ranges::sort(entries, {}, &ZipEntry::header_at);
  std::uint64_t expected = 0;
  for (auto& entry : entries) {
    if (entry.header_at < expected)
      return refuse(ErrorKind::corrupt, "{} overlaps another member", shown(entry.name));
    if (entry.header_at > expected)
      return refuse(ErrorKind::corrupt, "{} bytes before {} that belong to no member",
                    entry.header_at - expected, shown(entry.name));
    expected = TRY(check_local(fd, entry));
    if (expected > directory.at)
      return refuse(ErrorKind::corrupt, "{} reaches into the directory", shown(entry.name));
  }
  if (expected != directory.at)
    return refuse(ErrorKind::corrupt, "{} bytes that belong to no member", directory.at - expected);
  return {};
}

}  // namespace cloister::host
