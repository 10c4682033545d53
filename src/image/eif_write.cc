#include <fcntl.h>

#include <algorithm>

#include "image/eif.h"
#include "image/eif_compose.h"
#include "image/eif_metadata.h"
#include "sys/read_at.h"

namespace cloister::image {

namespace {

constexpr std::uint64_t kChunk = 1 << 20;  // bytes read at once

struct OpenPart {
  std::string path;
  sys::Fd file;
  std::uint64_t size = 0;
};

Result<OpenPart> open_part(const std::string& path) {
  OpenPart part{.path = path, .file = sys::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK))};
  if (!part.file) return fail_errno(path);
  part.size = TRY(sys::regular_size(part.file.get(), path));
  return part;
}

Status read_part(const OpenPart& part, const SectionSource::Take& take) {
  Bytes chunk(std::min(part.size, kChunk));
  for (std::uint64_t done = 0; done < part.size;) {
    auto piece = MutableByteView(chunk).first(std::min<std::uint64_t>(chunk.size(), part.size - done));
    TRY(sys::read_at(part.file.get(), done, piece, part.path));
    TRY(take(piece));
    done += piece.size();
  }
  return {};
}

SectionSource source_of(SectionType type, const OpenPart& part) {
  return {.type = type, .size = part.size, .produce = [&part](const SectionSource::Take& take) {
            return read_part(part, take);
          }};
}

Status check_text(const ImageParts& parts) {
  // One line of text: a line break would end an option, and look like more than one command line.
  bool plain = std::ranges::none_of(parts.command_line,
                                    [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (!plain) return fail(ErrorKind::invalid, "a control character in the command line");
  if (!parts.metadata.empty()) TRY(EifMetadata::parse(parts.metadata).context("the image's metadata"));
  return {};
}

}  // namespace

Status write_eif(const std::string& path, const ImageParts& parts) {
  TRY(check_text(parts));
  auto metadata = parts.metadata.empty() ? EifMetadata().to_json() : parts.metadata;
  auto kernel = TRY(open_part(parts.kernel_path));
  std::vector<OpenPart> ramdisks;
  ramdisks.reserve(parts.ramdisk_paths.size());
  for (const auto& ramdisk : parts.ramdisk_paths) ramdisks.push_back(TRY(open_part(ramdisk)));

  std::vector<SectionSource> sources{source_of(SectionType::kernel, kernel),
                                     source_of(SectionType::command_line, as_bytes(parts.command_line)),
                                     source_of(SectionType::metadata, as_bytes(metadata))};
  for (const auto& ramdisk : ramdisks) sources.push_back(source_of(SectionType::ramdisk, ramdisk));
  return compose_eif(path,
                     {.architecture = parts.architecture,
                      .default_memory = parts.default_memory,
                      .default_cpus = parts.default_cpus},
                     sources);
}

}  // namespace cloister::image
