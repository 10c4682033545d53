// Enclave images (*.eif, Enclave Image Format version 4; docs/formats/eif.md): reading, writing, measuring.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "attestation/measurements.h"
#include "image/eif_format.h"
#include "sys/fd.h"

namespace cloister::image {

inline constexpr std::uint64_t kDefaultMemory = 1ULL << 30;  // bytes; what nitro-cli writes
inline constexpr std::uint64_t kDefaultCpus = 2;

// An image file whose whole structure has been checked, its CRC included. Holds the file open and reads it
// where asked: memory stays constant whatever its size. Const calls may come from several threads. Who can
// write the file can still change it afterwards: copy first what must not change.
class Eif {
 public:
  // corrupt: not an image, or a damaged one, with the reason.
  static Result<Eif> open(const std::string& path);
  static Result<Eif> from_descriptor(sys::Fd file, const std::string& name);

  const std::string& path() const { return path_; }
  Architecture architecture() const { return header_.architecture; }
  std::uint64_t default_memory() const { return header_.default_memory; }  // bytes
  std::uint64_t default_cpus() const { return header_.default_cpus; }
  std::uint32_t crc() const { return header_.crc; }
  std::uint64_t file_size() const;  // bytes

  std::span<const EifSection> sections() const { return header_.sections; }  // in the file's order
  const EifSection& kernel() const;
  const EifSection& command_line_section() const;
  const EifSection& metadata_section() const;
  const EifSection* signature_section() const;  // null: not signed
  std::vector<EifSection> ramdisks() const;     // at least one; the first is the bootstrap's

  Result<std::string> command_line() const;  // holds no NUL; control characters it may
  Result<Bytes> metadata() const;            // JSON, unless whoever built the image lies
  // The whole section; exhausted: larger than `max` bytes.
  Result<Bytes> read(const EifSection& section, std::uint64_t max) const;
  Status copy_section(const EifSection& section, int to_fd) const;
  // Its bytes in order, some at a time, until `take` fails.
  using Take = std::function<Status(ByteView)>;
  Status stream(const EifSection& section, const Take& take) const;

 private:
  Eif(sys::Fd file, std::string path, EifHeader header)
      : file_(std::move(file)), path_(std::move(path)), header_(std::move(header)) {}
  Status read_section_headers();
  Status check_crc() const;
  Status check_command_line() const;
  sys::Fd file_;
  std::string path_;
  EifHeader header_;
};

struct ImageParts {
  Architecture architecture = Architecture::x86_64;
  std::string kernel_path;                 // bzImage for x86_64, uncompressed Image for arm64
  std::string command_line;                // no control characters
  std::string metadata;                    // JSON text of EifMetadata's shape; empty: one that says nothing
  std::vector<std::string> ramdisk_paths;  // 1 to 29; the first is the bootstrap's (PCR1), the others PCR2's
  std::uint64_t default_memory = kDefaultMemory;  // bytes
  std::uint64_t default_cpus = kDefaultCpus;
};

// Kernel, command line, metadata, ramdisks: the order of AWS's own builder. Streams; the file appears whole
// or not at all; the same parts give the same bytes. invalid: parts that make no image.
Status write_eif(const std::string& path, const ImageParts& parts);

// PCR0 (kernel, command line, ramdisks), PCR1 (… first ramdisk), PCR2 (other ramdisks) and, of a signed
// image, PCR8 (certificate), as the enclave's security module will report them. The signature itself is not
// verified; corrupt: there is one that makes no sense.
Result<attestation::Measurements> measure_eif(const Eif& image);
// What a signature is over: the signature section is not looked at.
Result<attestation::Pcr> measure_pcr0(const Eif& image);

}  // namespace cloister::image
