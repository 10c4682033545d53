// Enclave images, of which anybody may hand one to anybody. Whatever the input, its CRC is made right: behind
// it are the parsers. The mutator also lets the header's tables follow the sections, half of the time.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "codec/crc32.h"
#include "image/eif_metadata.h"
#include "image/eif_signature.h"

using namespace cloister;
using namespace cloister::image;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

constexpr std::size_t kCountOffset = 26;
constexpr std::size_t kOffsetsOffset = 28;
constexpr std::size_t kSizesOffset = 284;

void require(bool condition) {
  if (!condition) std::abort();
}

void put(Bytes& image, std::size_t at, const Writer& value) {
  std::ranges::copy(value.view(), image.begin() + static_cast<std::ptrdiff_t>(at));
}

void mend_crc(Bytes& image) {
  if (image.size() < kEifHeaderSize) return;
  ByteView view(image);
  auto crc = codec::crc32(view.subspan(kEifHeaderSize), codec::crc32(view.first(kEifCrcOffset)));
  put(image, kEifCrcOffset, Writer().u32(crc));
}

// Reads section headers one after the other and writes the tables from them; the last section gets the rest.
void mend_tables(Bytes& image) {
  if (image.size() < kEifHeaderSize) return;
  std::fill(image.begin() + kOffsetsOffset, image.begin() + kEifCrcOffset, 0);
  std::size_t at = kEifHeaderSize;
  std::size_t count = 0;
  for (; count < kMaxEifSections && at + kEifSectionHeaderSize <= image.size(); ++count) {
    auto room = image.size() - at - kEifSectionHeaderSize;
    Reader header(ByteView(image).subspan(at + 4, 8));
    auto size = std::min<std::uint64_t>(header.u64().value(), room);
    if (room - size < kEifSectionHeaderSize || count + 1 == kMaxEifSections) size = room;
    put(image, at + 4, Writer().u64(size));
    put(image, kOffsetsOffset + 8 * count, Writer().u64(at));
    put(image, kSizesOffset + 8 * count, Writer().u64(size));
    at += kEifSectionHeaderSize + size;
  }
  put(image, kCountOffset, Writer().u16(static_cast<std::uint16_t>(count)));
}

sys::Fd file_of(ByteView bytes) {
  sys::Fd file(::memfd_create("image", MFD_CLOEXEC));
  require(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  return file;
}

void check_structure(const Eif& image, ByteView bytes) {
  std::uint64_t at = kEifHeaderSize;
  for (const auto& section : image.sections()) {
    require(section.offset == at + kEifSectionHeaderSize);
    at = section.offset + section.size;
  }
  require(at == bytes.size() && image.file_size() == at);
  require(check_sections(image.sections()).has_value());
  require(!image.ramdisks().empty());
  require(image.command_line().value().find('\0') == std::string::npos);
}

void check_metadata(const Eif& image) {
  auto json = image.metadata().value();
  auto metadata = EifMetadata::parse(as_text(json));
  if (!metadata) return;
  auto again = EifMetadata::parse(metadata->to_json());
  require(again && again->to_json() == metadata->to_json());
}

void check_signature(const Eif& image) {
  auto signature = read_signature(image);
  auto measured = measure_eif(image);
  require(measured.has_value() == signature.has_value());
  if (!signature) return;
  require(measured->pcrs.size() == (*signature ? 4u : 3u));
  if (!*signature) return;
  auto again = parse_signature(encode_signature(**signature));
  require(again && again->certificate.der() == (*signature)->certificate.der());
  auto pcr0 = measure_pcr0(image).value();
  bool good = verify_signature(**signature, pcr0).has_value();
  pcr0[0] ^= 1;
  require(!good || !verify_signature(**signature, pcr0));
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 2 != 0) return size;
  Bytes image(data, data + size);
  mend_tables(image);
  std::ranges::copy(image, data);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, data + size);
  mend_crc(bytes);
  auto image = Eif::from_descriptor(file_of(bytes), "image");
  if (!image) return 0;
  check_structure(*image, bytes);
  check_metadata(*image);
  check_signature(*image);
  return 0;
}
