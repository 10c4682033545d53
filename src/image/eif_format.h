// The bytes of an enclave image's headers, both directions, and the rules on its sections
// (docs/formats/eif.md). Integers are big-endian.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace cloister::image {

inline constexpr std::string_view kEifMagic = ".eif";
inline constexpr std::uint16_t kEifVersion = 4;
inline constexpr std::size_t kEifHeaderSize = 548;        // bytes
inline constexpr std::size_t kEifSectionHeaderSize = 12;  // bytes
inline constexpr std::size_t kEifCrcOffset = 544;         // of the CRC, the header's last field
inline constexpr std::size_t kMaxEifSections = 32;        // room in the header's two tables

inline constexpr std::uint64_t kMaxKernel = 256ULL << 20;  // bytes
// A byte less than COMMAND_LINE_SIZE of Linux on x86 and arm64 (asm/setup.h): beyond it the kernel cuts in
// silence, and what was measured would not be what is obeyed.
inline constexpr std::uint64_t kMaxCommandLine = 2047;
inline constexpr std::uint64_t kMaxRamdisk = 16ULL << 30;  // bytes, each
inline constexpr std::uint64_t kMaxMetadata = 256 * 1024;  // bytes
inline constexpr std::uint64_t kMaxSignatureSection =
    32 * 1024;  // bytes: SIGNATURE_MAX_SIZE of the format's text

enum class Architecture { x86_64, arm64 };
std::string_view to_string(Architecture architecture);

enum class SectionType : std::uint16_t {
  kernel = 1,
  command_line = 2,
  ramdisk = 3,
  signature = 4,
  metadata = 5
};
std::string_view to_string(SectionType type);

struct EifSection {
  SectionType type = SectionType::kernel;
  std::uint64_t offset = 0;  // of its data in the file; its own header is the 12 bytes before
  std::uint64_t size = 0;    // bytes of data
};

struct EifHeader {
  Architecture architecture = Architecture::x86_64;
  std::uint64_t default_memory = 0;  // bytes; nothing uses it
  std::uint64_t default_cpus = 0;    // nothing uses it
  // Types are not in this header: parse_header leaves them at `kernel` until their own headers are read.
  std::vector<EifSection> sections;
  std::uint32_t crc = 0;
};

// kEifHeaderSize bytes. parse refuses (corrupt) sections that do not fill the rest of a file of `file_size`
// bytes without gap or overlap, and whatever has to be zero and is not. The CRC is not checked here.
Bytes encode_header(const EifHeader& header);
Result<EifHeader> parse_header(ByteView bytes, std::uint64_t file_size);

// kEifSectionHeaderSize bytes. parse gives the type, once the size is the one that the file's header has.
Bytes encode_section_header(const EifSection& section);
Result<SectionType> parse_section_header(ByteView bytes, std::uint64_t size);

// Which sections, how many, in which order, how large: kernel, command line, then ramdisks and one metadata
// section, a signature after the last ramdisk. corrupt.
Status check_sections(std::span<const EifSection> sections);

}  // namespace cloister::image
