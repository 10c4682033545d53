// Source: the specification in the README of the crate aws-nitro-enclaves-image-format 0.8.1. Where this is
// stricter, docs/formats/eif.md says so.
#include "image/eif_format.h"

#include <algorithm>

namespace cloister::image {

namespace {

constexpr std::uint16_t kArm64Flag = 1;
constexpr std::size_t kFewestSections = 4;  // kernel, command line, metadata, ramdisk

struct Tables {
  std::array<std::uint64_t, kMaxEifSections> offsets{};
  std::array<std::uint64_t, kMaxEifSections> sizes{};
};

struct Bounds {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

Bounds bounds_of(SectionType type) {
  switch (type) {
    case SectionType::kernel:
      return {1, kMaxKernel};
    case SectionType::command_line:
      return {0, kMaxCommandLine};
    case SectionType::ramdisk:
      return {1, kMaxRamdisk};
    case SectionType::signature:
      return {1, kMaxSignatureSection};
    case SectionType::metadata:
      return {1, kMaxMetadata};
  }
  return {1, 0};
}

Status expect(bool holds, std::string_view why) {
  if (!holds) return fail(ErrorKind::corrupt, "{}", why);
  return {};
}

Result<Tables> parse_tables(Reader& reader) {
  Tables tables;
  for (auto& offset : tables.offsets) offset = TRY(reader.u64());
  for (auto& size : tables.sizes) size = TRY(reader.u64());
  return tables;
}

// Each section begins where the one before it ended, and the last ends with the file: whoever goes by the
// tables and whoever reads one section after the other see the same.
Result<std::vector<EifSection>> place_sections(const Tables& tables, std::size_t count,
                                               std::uint64_t file_size) {
  std::vector<EifSection> sections;
  std::uint64_t at = kEifHeaderSize;
  for (std::size_t i = 0; i < count; ++i) {
    if (tables.offsets[i] != at)
      return fail(ErrorKind::corrupt, "section {} is said to be at byte {}, where {} is its place", i,
                  tables.offsets[i], at);
    if (file_size - at < kEifSectionHeaderSize || file_size - at - kEifSectionHeaderSize < tables.sizes[i])
      return fail(ErrorKind::corrupt, "cut short: section {} of {} bytes reaches beyond the file's end", i,
                  tables.sizes[i]);
    at += kEifSectionHeaderSize;
    sections.push_back({.offset = at, .size = tables.sizes[i]});
    at += tables.sizes[i];
  }
  if (at != file_size) return fail(ErrorKind::corrupt, "{} bytes after its last section", file_size - at);
  return sections;
}

Status check_unused(const Tables& tables, std::size_t count) {
  for (std::size_t i = count; i < kMaxEifSections; ++i) {
    if (tables.offsets[i] != 0 || tables.sizes[i] != 0)
      return fail(ErrorKind::corrupt, "its header places a section {}, and counts {} only", i, count);
  }
  return {};
}

bool known(std::uint16_t type) {
  return type >= static_cast<std::uint16_t>(SectionType::kernel) &&
         type <= static_cast<std::uint16_t>(SectionType::metadata);
}

std::ptrdiff_t count_of(std::span<const EifSection> sections, SectionType type) {
  return std::ranges::count(sections, type, &EifSection::type);
}

Status check_sizes(std::span<const EifSection> sections) {
  for (std::size_t i = 0; i < sections.size(); ++i) {
    auto bounds = bounds_of(sections[i].type);
    if (sections[i].size < bounds.least || sections[i].size > bounds.most)
      return fail(ErrorKind::corrupt, "section {}: a {} of {} bytes, where {} to {} are allowed", i,
                  to_string(sections[i].type), sections[i].size, bounds.least, bounds.most);
  }
  return {};
}

// The measurement runs over kernel, command line and ramdisks in the file's order: it has to be one order.
Status check_order(std::span<const EifSection> sections) {
  TRY(expect(sections[0].type == SectionType::kernel, "its first section is not a kernel"));
  TRY(expect(sections[1].type == SectionType::command_line, "its second section is not a command line"));
  auto signature = std::ranges::find(sections, SectionType::signature, &EifSection::type);
  bool ramdisk_after = std::any_of(signature, sections.end(), [](const EifSection& section) {
    return section.type == SectionType::ramdisk;
  });
  return expect(!ramdisk_after, "a ramdisk stands after the signature");
}

}  // namespace

std::string_view to_string(Architecture architecture) {
  return architecture == Architecture::x86_64 ? "x86_64" : "arm64";
}

std::string_view to_string(SectionType type) {
  switch (type) {
    case SectionType::kernel:
      return "kernel";
    case SectionType::command_line:
      return "command line";
    case SectionType::ramdisk:
      return "ramdisk";
    case SectionType::signature:
      return "signature";
    case SectionType::metadata:
      return "metadata";
  }
  return "unknown";
}

Bytes encode_header(const EifHeader& header) {
  Writer writer;
  writer.bytes(as_bytes(kEifMagic)).u16(kEifVersion);
  writer.u16(header.architecture == Architecture::arm64 ? kArm64Flag : 0);
  writer.u64(header.default_memory).u64(header.default_cpus);
  writer.u16(0).u16(static_cast<std::uint16_t>(header.sections.size()));
  auto unused = kMaxEifSections - header.sections.size();
  for (const auto& section : header.sections) writer.u64(section.offset - kEifSectionHeaderSize);
  for (std::size_t i = 0; i < unused; ++i) writer.u64(0);
  for (const auto& section : header.sections) writer.u64(section.size);
  for (std::size_t i = 0; i < unused; ++i) writer.u64(0);
  writer.u32(0).u32(header.crc);
  return std::move(writer).take();
}

Result<EifHeader> parse_header(ByteView bytes, std::uint64_t file_size) {
  Reader reader(bytes);
  EifHeader header;
  auto magic = TRY(reader.bytes(kEifMagic.size()));
  TRY(expect(as_text(magic) == kEifMagic, "not an enclave image: it does not begin with \".eif\""));
  if (auto version = TRY(reader.u16()); version != kEifVersion)
    return fail(ErrorKind::corrupt, "version {} of the format, where {} is read", version, kEifVersion);
  auto flags = TRY(reader.u16());
  TRY(expect((flags & ~kArm64Flag) == 0, "a flag is set that the format does not know"));
  header.architecture = (flags & kArm64Flag) != 0 ? Architecture::arm64 : Architecture::x86_64;
  header.default_memory = TRY(reader.u64());
  header.default_cpus = TRY(reader.u64());
  TRY(expect(TRY(reader.u16()) == 0, "the reserved bytes 24 and 25 are not zero"));
  std::size_t count = TRY(reader.u16());
  if (count < kFewestSections || count > kMaxEifSections)
    return fail(ErrorKind::corrupt, "{} sections, where {} to {} are allowed", count, kFewestSections,
                kMaxEifSections);
  auto tables = TRY(parse_tables(reader));
  TRY(check_unused(tables, count));
  TRY(expect(TRY(reader.u32()) == 0, "the reserved bytes 540 to 543 are not zero"));
  header.crc = TRY(reader.u32());
  TRY(reader.finish());
  header.sections = TRY(place_sections(tables, count, file_size));
  return header;
}

Bytes encode_section_header(const EifSection& section) {
  Writer writer;
  writer.u16(static_cast<std::uint16_t>(section.type)).u16(0).u64(section.size);
  return std::move(writer).take();
}

Result<SectionType> parse_section_header(ByteView bytes, std::uint64_t size) {
  Reader reader(bytes);
  auto type = TRY(reader.u16());
  if (!known(type)) return fail(ErrorKind::corrupt, "type {} is unknown", type);
  TRY(expect(TRY(reader.u16()) == 0, "a flag is set that the format does not know"));
  if (auto own = TRY(reader.u64()); own != size)
    return fail(ErrorKind::corrupt, "{} bytes by its own header, {} by the file's", own, size);
  TRY(reader.finish());
  return static_cast<SectionType>(type);
}

Status check_sections(std::span<const EifSection> sections) {
  if (sections.size() > kMaxEifSections)
    return fail(ErrorKind::corrupt, "{} sections, where {} are the most", sections.size(), kMaxEifSections);
  TRY(expect(count_of(sections, SectionType::kernel) == 1, "not exactly one kernel"));
  TRY(expect(count_of(sections, SectionType::command_line) == 1, "not exactly one command line"));
  TRY(expect(count_of(sections, SectionType::metadata) == 1,
             "not exactly one metadata section, which version 4 demands"));
  TRY(expect(count_of(sections, SectionType::ramdisk) >= 1, "no ramdisk"));
  TRY(expect(count_of(sections, SectionType::signature) <= 1, "more than one signature section"));
  TRY(check_order(sections));
  return check_sizes(sections);
}

}  // namespace cloister::image
