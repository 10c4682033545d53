#include "builder/program.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "sys/file.h"

namespace cloister::builder {

namespace {

constexpr std::size_t kMaxSegments = 64;

template <class T>
Result<T> at(ByteView bytes, std::uint64_t offset, const std::string& path) {
  T out;
  if (offset > bytes.size() || bytes.size() - offset < sizeof out)
    return fail(ErrorKind::invalid, "{} is cut off", path);
  std::memcpy(&out, bytes.data() + offset, sizeof out);
  return out;
}

Result<Elf64_Ehdr> read_elf_header(ByteView bytes, std::uint16_t machine, const std::string& path) {
  auto header = TRY(at<Elf64_Ehdr>(bytes, 0, path));
  bool elf = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
             header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_phentsize == sizeof(Elf64_Phdr);
  if (!elf || header.e_phnum > kMaxSegments)
    return fail(ErrorKind::invalid, "{} is not an ELF program", path);
  if (header.e_machine != machine)
    return fail(ErrorKind::invalid, "{} is for another architecture than the image", path);
  return header;
}

// Where the last byte that is loaded stands.
Result<std::uint64_t> end_of_segments(ByteView bytes, const Elf64_Ehdr& header, const std::string& path) {
  std::uint64_t end = header.e_phoff + std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
    auto segment = TRY(at<Elf64_Phdr>(bytes, header.e_phoff + i * sizeof(Elf64_Phdr), path));
    if (segment.p_type == PT_INTERP)
      return fail(ErrorKind::invalid, "{} is not static: an enclave's first ramdisk has no loader", path);
    if (segment.p_offset > bytes.size() || segment.p_filesz > bytes.size() - segment.p_offset)
      return fail(ErrorKind::invalid, "{} is cut off", path);
    end = std::max(end, segment.p_offset + segment.p_filesz);
  }
  return end;
}

}  // namespace

Result<image::Extent> add_program(const std::string& path, std::uint16_t machine, image::Spool& spool) {
  auto bytes = TRY(sys::read_file(path, kMaxProgram));
  auto header = TRY(read_elf_header(bytes, machine, path));
  auto end = TRY(end_of_segments(bytes, header, path));
  header.e_shoff = 0;
  header.e_shnum = 0;
  header.e_shstrndx = SHN_UNDEF;
  std::memcpy(bytes.data(), &header, sizeof header);
  return spool.add(ByteView(bytes).first(end));
}

}  // namespace cloister::builder
