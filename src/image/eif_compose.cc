#include "image/eif_compose.h"

#include <unistd.h>

#include <cerrno>

#include "codec/crc32.h"
#include "sys/file.h"

namespace cloister::image {

namespace {

Status lay_out(EifHeader& header, const std::vector<SectionSource>& sources) {
  header.sections.clear();
  std::uint64_t at = kEifHeaderSize;
  for (const auto& source : sources) {
    at += kEifSectionHeaderSize;
    header.sections.push_back({.type = source.type, .offset = at, .size = source.size});
    at += source.size;
  }
  auto checked = check_sections(header.sections);
  if (!checked)
    return fail(ErrorKind::invalid, "no image can be made of this: {}", checked.error().message());
  return {};
}

// Writes and sums up at once.
class Output {
 public:
  Output(int fd, const std::string& path) : fd_(fd), path_(path) {}

  Status add(ByteView bytes) {
    crc_ = codec::crc32(bytes, crc_);
    return sys::write_all(fd_, bytes, path_);
  }
  Status add_uncounted(ByteView bytes) { return sys::write_all(fd_, bytes, path_); }
  std::uint32_t crc() const { return crc_; }

 private:
  int fd_;
  const std::string& path_;
  std::uint32_t crc_ = 0;
};

Status add_section(Output& out, const EifSection& section, const SectionSource& source) {
  TRY(out.add(encode_section_header(section)));
  std::uint64_t left = section.size;
  TRY(source.produce([&](ByteView bytes) -> Status {
    if (bytes.size() > left)
      return fail(ErrorKind::unavailable, "the {} grew while it was read", to_string(section.type));
    left -= bytes.size();
    return out.add(bytes);
  }));
  if (left != 0)
    return fail(ErrorKind::unavailable, "the {} shrank while it was read", to_string(section.type));
  return {};
}

// The CRC is known last and stands first.
Status put_crc(int fd, std::uint32_t crc, const std::string& path) {
  auto bytes = std::move(Writer().u32(crc)).take();
  auto written = ::pwrite(fd, bytes.data(), bytes.size(), kEifCrcOffset);
  if (written != static_cast<ssize_t>(bytes.size())) return fail_errno(written < 0 ? errno : EIO, path);
  return {};
}

}  // namespace

SectionSource source_of(SectionType type, ByteView bytes) {
  return {.type = type, .size = bytes.size(), .produce = [bytes](const SectionSource::Take& take) {
            return take(bytes);
          }};
}

Status compose_eif(const std::string& path, EifHeader header, const std::vector<SectionSource>& sources) {
  TRY(lay_out(header, sources));
  auto file = TRY(sys::PendingFile::create(path));
  Output out(file.descriptor(), path);
  auto head = encode_header(header);
  TRY(out.add(ByteView(head).first(kEifCrcOffset)));
  TRY(out.add_uncounted(ByteView(head).subspan(kEifCrcOffset)));
  for (std::size_t i = 0; i < sources.size(); ++i) TRY(add_section(out, header.sections[i], sources[i]));
  TRY(put_crc(file.descriptor(), out.crc(), path));
  return file.commit();
}

}  // namespace cloister::image
