#include "image/eif.h"

#include <fcntl.h>

#include <algorithm>

#include "codec/crc32.h"
#include "sys/file.h"
#include "sys/read_at.h"

namespace cloister::image {

namespace {

constexpr std::uint64_t kChunk = 1 << 20;  // bytes read at once

const EifSection* find(std::span<const EifSection> sections, SectionType type) {
  auto found = std::ranges::find(sections, type, &EifSection::type);
  return found == sections.end() ? nullptr : &*found;
}

Result<EifHeader> read_header(int fd) {
  auto size = TRY(sys::regular_size(fd, "it"));
  if (size < kEifHeaderSize)
    return fail(ErrorKind::corrupt, "not an enclave image: {} bytes, where the header alone has {}", size,
                kEifHeaderSize);
  Bytes bytes(kEifHeaderSize);
  TRY(sys::read_at(fd, 0, bytes, "header"));
  return parse_header(bytes, size);
}

}  // namespace

Result<Eif> Eif::open(const std::string& path) {
  // Non-blocking: opening a fifo that nobody writes to must not hang.
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return fail_errno(path);
  return from_descriptor(std::move(file), path);
}

Result<Eif> Eif::from_descriptor(sys::Fd file, const std::string& name) {
  auto header = TRY(read_header(file.get()).context(name));
  Eif image(std::move(file), name, std::move(header));
  TRY(image.read_section_headers().context(name));
  TRY(check_sections(image.sections()).context(name));
  TRY(image.check_command_line().context(name));
  TRY(image.check_crc().context(name));
  return image;
}

Status Eif::read_section_headers() {
  for (std::size_t i = 0; i < header_.sections.size(); ++i) {
    auto& section = header_.sections[i];
    Bytes bytes(kEifSectionHeaderSize);
    TRY(sys::read_at(file_.get(), section.offset - kEifSectionHeaderSize, bytes, "section header"));
    section.type = TRY(parse_section_header(bytes, section.size).context(fmt::format("section {}", i)));
  }
  return {};
}

Status Eif::check_command_line() const {
  auto bytes = TRY(read(command_line_section(), kMaxCommandLine));
  // The kernel would end it there, and what was measured would not be what is obeyed.
  if (std::ranges::find(bytes, 0) != bytes.end())
    return fail(ErrorKind::corrupt, "a NUL in its command line");
  return {};
}

Status Eif::check_crc() const {
  auto header = encode_header(header_);
  auto crc = codec::crc32(ByteView(header).first(kEifCrcOffset));
  for (const auto& section : header_.sections) {
    crc = codec::crc32(encode_section_header(section), crc);
    TRY(stream(section, [&crc](ByteView bytes) -> Status {
      crc = codec::crc32(bytes, crc);
      return {};
    }));
  }
  if (crc != header_.crc)
    return fail(ErrorKind::corrupt, "damaged: its CRC is {:08x}, and its bytes give {:08x}", header_.crc,
                crc);
  return {};
}

std::uint64_t Eif::file_size() const {
  const auto& last = header_.sections.back();
  return last.offset + last.size;
}

const EifSection& Eif::kernel() const {
  return *find(sections(), SectionType::kernel);
}

const EifSection& Eif::command_line_section() const {
  return *find(sections(), SectionType::command_line);
}

const EifSection& Eif::metadata_section() const {
  return *find(sections(), SectionType::metadata);
}

const EifSection* Eif::signature_section() const {
  return find(sections(), SectionType::signature);
}

std::vector<EifSection> Eif::ramdisks() const {
  std::vector<EifSection> out;
  std::ranges::copy_if(sections(), std::back_inserter(out),
                       [](const EifSection& section) { return section.type == SectionType::ramdisk; });
  return out;
}

Result<std::string> Eif::command_line() const {
  auto bytes = TRY(read(command_line_section(), kMaxCommandLine));
  return std::string(as_text(bytes));
}

Result<Bytes> Eif::metadata() const {
  return read(metadata_section(), kMaxMetadata);
}

Result<Bytes> Eif::read(const EifSection& section, std::uint64_t max) const {
  if (section.size > max)
    return fail(ErrorKind::exhausted, "{}: its {} has {} bytes, more than {}", path_, to_string(section.type),
                section.size, max);
  Bytes bytes(section.size);
  TRY(sys::read_at(file_.get(), section.offset, bytes, path_));
  return bytes;
}

Status Eif::stream(const EifSection& section, const Take& take) const {
  Bytes chunk(std::min(section.size, kChunk));
  for (std::uint64_t done = 0; done < section.size;) {
    auto part = MutableByteView(chunk).first(std::min<std::uint64_t>(chunk.size(), section.size - done));
    TRY(sys::read_at(file_.get(), section.offset + done, part, path_));
    TRY(take(part));
    done += part.size();
  }
  return {};
}

Status Eif::copy_section(const EifSection& section, int to_fd) const {
  return stream(section, [&](ByteView bytes) {
    return sys::write_all(to_fd, bytes, fmt::format("the {} of {}", to_string(section.type), path_));
  });
}

}  // namespace cloister::image
