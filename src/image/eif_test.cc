#include "image/eif.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "image/eif_compose.h"
#include "image/eif_metadata.h"
#include "image/eif_testing.h"

namespace cloister::image {
namespace {

constexpr std::size_t kKernelHeader = kEifHeaderSize;

class EifTest : public testing::Test {
 protected:
  // Why an image with these bytes is refused; empty: it is not.
  std::string refusal(Bytes bytes, bool mend = true) {
    if (mend && bytes.size() >= kEifHeaderSize) mend_crc(bytes);
    auto path = shop_.file("changed.eif", as_text(bytes));
    auto image = Eif::open(path);
    if (image) return {};
    EXPECT_EQ(image.error().kind(), ErrorKind::corrupt);
    return image.error().message();
  }
  std::string refusal_with(std::size_t at, std::uint8_t value) {
    auto bytes = shop_.bytes("image.eif");
    bytes.at(at) = value;
    return refusal(std::move(bytes));
  }
  void expect_refused(std::size_t at, std::uint8_t value, std::string_view why) {
    auto message = refusal_with(at, value);
    EXPECT_NE(message.find(why), std::string::npos) << "byte " << at << ": '" << message << "'";
  }

  Workshop shop_;
};

TEST_F(EifTest, WhatIsWrittenIsRead) {
  auto parts = shop_.parts();
  parts.architecture = Architecture::arm64;
  parts.default_memory = 512ULL << 20;
  parts.default_cpus = 3;
  ASSERT_TRUE(write_eif(shop_.path("a.eif"), parts));
  auto image = Eif::open(shop_.path("a.eif"));
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->architecture(), Architecture::arm64);
  EXPECT_EQ(image->default_memory(), 512ULL << 20);
  EXPECT_EQ(image->default_cpus(), 3u);
  EXPECT_EQ(image->command_line().value(), "reboot=k");
  EXPECT_EQ(as_text(image->read(image->kernel(), 6).value()), "KERNEL");
  auto ramdisks = image->ramdisks();
  ASSERT_EQ(ramdisks.size(), 2u);
  EXPECT_EQ(as_text(image->read(ramdisks[0], 100).value()), "first");
  EXPECT_EQ(as_text(image->read(ramdisks[1], 100).value()), "second");
  EXPECT_EQ(image->signature_section(), nullptr);
  EXPECT_EQ(image->file_size(), std::filesystem::file_size(shop_.path("a.eif")));
}

TEST_F(EifTest, TheSamePartsGiveTheSameBytes) {
  shop_.image("a.eif");
  shop_.image("b.eif");
  EXPECT_EQ(shop_.bytes("a.eif"), shop_.bytes("b.eif"));
}

TEST_F(EifTest, MeasurementsAreThoseOfTheFormatsText) {
  auto image = Eif::open(shop_.image());
  ASSERT_TRUE(image);
  auto extended = [](std::string_view content) {
    Bytes input(48);
    append(input, crypto::sha384(as_bytes(content)));
    return to_hex(crypto::sha384(input));
  };
  auto measured = measure_eif(*image);
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->pcrs.size(), 3u);
  EXPECT_EQ(to_hex(measured->pcrs.at(0)), extended("KERNELreboot=kfirstsecond"));
  EXPECT_EQ(to_hex(measured->pcrs.at(1)), extended("KERNELreboot=kfirst"));
  EXPECT_EQ(to_hex(measured->pcrs.at(2)), extended("second"));
  EXPECT_EQ(measure_pcr0(*image).value(), measured->pcrs.at(0));
}

TEST_F(EifTest, NeitherMetadataNorDefaultsNorArchitectureAreMeasured) {
  auto parts = shop_.parts();
  auto image = Eif::open(shop_.image());
  parts.metadata = EifMetadata{.image_name = "other"}.to_json();
  parts.default_cpus = 7;
  parts.architecture = Architecture::arm64;
  ASSERT_TRUE(write_eif(shop_.path("b.eif"), parts));
  auto other = Eif::open(shop_.path("b.eif"));
  ASSERT_TRUE(image && other);
  EXPECT_EQ(measure_eif(*image)->pcrs, measure_eif(*other)->pcrs);
}

TEST_F(EifTest, SectionsLargerThanABufferArriveWhole) {
  auto parts = shop_.parts();
  std::string large(3 * 1024 * 1024 + 17, 'x');
  for (std::size_t i = 0; i < large.size(); i += 1000) large[i] = static_cast<char>(i / 1000);
  parts.ramdisk_paths.push_back(shop_.file("large", large));
  ASSERT_TRUE(write_eif(shop_.path("a.eif"), parts));
  auto image = Eif::open(shop_.path("a.eif"));
  ASSERT_TRUE(image) << image.error().message();
  sys::Fd out(::open(shop_.path("out").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(image->copy_section(image->ramdisks().at(2), out.get()));
  EXPECT_EQ(as_text(shop_.bytes("out")), large);
  EXPECT_FALSE(image->read(image->ramdisks().at(2), 1024));
}

TEST_F(EifTest, EveryFieldOfTheHeaderIsChecked) {
  shop_.image();
  expect_refused(0, 'x', "does not begin with");
  expect_refused(5, 3, "version 3");
  expect_refused(5, 5, "version 5");
  expect_refused(7, 2, "a flag is set");
  expect_refused(6, 0x80, "a flag is set");
  expect_refused(25, 1, "bytes 24 and 25");
  expect_refused(27, 3, "3 sections, where 4 to 32");
  expect_refused(27, 4, "places a section 4, and counts 4");
  expect_refused(27, 6, "section 5 is said to be at byte 0");
  expect_refused(26, 1, "261 sections");
  expect_refused(28 + 7, 0x25, "section 0 is said to be at byte 549");
  expect_refused(28 + 15, 0, "section 1 is said to be at");
  expect_refused(28 + 5 * 8 + 7, 1, "places a section 5");
  expect_refused(284 + 5 * 8 + 7, 1, "places a section 5");
  expect_refused(284 + 7, 7, "section 1 is said to be at");
  expect_refused(284 + 4 * 8 + 7, 7, "reaches beyond the file's end");
  expect_refused(284 + 4 * 8 + 7, 5, "1 bytes after its last section");
  expect_refused(284 + 4 * 8, 0xff, "reaches beyond the file's end");
  expect_refused(543, 1, "bytes 540 to 543");
}

TEST_F(EifTest, EverySectionHeaderIsChecked) {
  shop_.image();
  expect_refused(kKernelHeader + 1, 0, "section 0: type 0 is unknown");
  expect_refused(kKernelHeader + 1, 6, "section 0: type 6 is unknown");
  expect_refused(kKernelHeader, 1, "section 0: type 257 is unknown");
  expect_refused(kKernelHeader + 3, 1, "section 0: a flag is set");
  expect_refused(kKernelHeader + 11, 7, "section 0: 7 bytes by its own header, 6 by the file's");
  expect_refused(kKernelHeader + 4, 1, "by its own header");
  expect_refused(kKernelHeader + 1, 3, "not exactly one kernel");
}

TEST_F(EifTest, AnyChangedByteBreaksTheCrc) {
  shop_.image();
  auto good = shop_.bytes("image.eif");
  ASSERT_EQ(refusal(good, false), "");
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] ^= 0x01;
    EXPECT_NE(refusal(std::move(bad), false), "") << "byte " << at;
  }
}

TEST_F(EifTest, CutAnywhereAndPaddedItIsRefused) {
  shop_.image();
  auto good = shop_.bytes("image.eif");
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(refusal(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)), false), "");
  good.push_back(0);
  EXPECT_NE(refusal(good).find("1 bytes after its last section"), std::string::npos);
}

TEST_F(EifTest, ANulInTheCommandLineIsRefused) {
  shop_.image();
  expect_refused(kEifHeaderSize + 12 + 6 + 12 + 3, 0, "a NUL in its command line");
}

EifSection of(SectionType type, std::uint64_t size = 1) {
  return {.type = type, .offset = 0, .size = size};
}

std::string order_refusal(const std::vector<EifSection>& sections) {
  auto checked = check_sections(sections);
  return checked ? "" : checked.error().message();
}

TEST(EifSections, OrderAndNumber) {
  using enum SectionType;
  auto k = of(kernel);
  auto c = of(command_line);
  auto r = of(ramdisk);
  auto m = of(metadata);
  auto s = of(signature);
  EXPECT_EQ(order_refusal({k, c, m, r}), "");
  EXPECT_EQ(order_refusal({k, c, r, m}), "");
  EXPECT_EQ(order_refusal({k, c, r, r, s, m}), "");
  EXPECT_EQ(order_refusal({k, c, r, m, r, s}), "");
  EXPECT_NE(order_refusal({c, k, m, r}), "");
  EXPECT_NE(order_refusal({k, m, c, r}), "");
  EXPECT_NE(order_refusal({k, c, r, r}), "");
  EXPECT_NE(order_refusal({k, c, m, m, r}), "");
  EXPECT_NE(order_refusal({k, k, c, m, r}), "");
  EXPECT_NE(order_refusal({k, c, c, m, r}), "");
  EXPECT_NE(order_refusal({k, c, m, s}), "");
  EXPECT_NE(order_refusal({k, c, m, r, s, s}), "");
  EXPECT_NE(order_refusal({k, c, m, s, r}), "");
  EXPECT_NE(order_refusal({k, c, m, r, s, r}), "");
}

TEST(EifSections, Sizes) {
  using enum SectionType;
  auto with = [](EifSection changed) {
    std::vector<EifSection> all{of(kernel), of(command_line), of(metadata), of(ramdisk), of(signature)};
    for (auto& section : all)
      if (section.type == changed.type) section = changed;
    return order_refusal(all);
  };
  EXPECT_EQ(with(of(command_line, 0)), "");
  EXPECT_EQ(with(of(command_line, kMaxCommandLine)), "");
  EXPECT_NE(with(of(command_line, kMaxCommandLine + 1)), "");
  EXPECT_NE(with(of(kernel, 0)), "");
  EXPECT_EQ(with(of(kernel, kMaxKernel)), "");
  EXPECT_NE(with(of(kernel, kMaxKernel + 1)), "");
  EXPECT_NE(with(of(ramdisk, 0)), "");
  EXPECT_NE(with(of(ramdisk, kMaxRamdisk + 1)), "");
  EXPECT_NE(with(of(metadata, 0)), "");
  EXPECT_NE(with(of(metadata, kMaxMetadata + 1)), "");
  EXPECT_NE(with(of(signature, kMaxSignatureSection + 1)), "");
}

TEST_F(EifTest, PartsThatMakeNoImageLeaveNoFile) {
  auto refused = [&](const ImageParts& parts) {
    auto written = write_eif(shop_.path("none.eif"), parts);
    EXPECT_FALSE(std::filesystem::exists(shop_.path("none.eif")));
    return written ? std::string() : written.error().message();
  };
  auto parts = shop_.parts();
  parts.ramdisk_paths.clear();
  EXPECT_NE(refused(parts).find("ramdisk"), std::string::npos);
  parts = shop_.parts();
  parts.ramdisk_paths.assign(30, parts.ramdisk_paths[0]);
  EXPECT_NE(refused(parts).find("33 sections"), std::string::npos);
  parts = shop_.parts();
  parts.command_line = "a\nb";
  EXPECT_NE(refused(parts).find("control character"), std::string::npos);
  parts = shop_.parts();
  parts.command_line = std::string(kMaxCommandLine + 1, 'a');
  EXPECT_NE(refused(parts).find("2048 bytes"), std::string::npos);
  parts = shop_.parts();
  parts.kernel_path = shop_.file("empty", "");
  EXPECT_NE(refused(parts).find("kernel of 0 bytes"), std::string::npos);
  parts = shop_.parts();
  parts.kernel_path = shop_.path("absent");
  EXPECT_NE(refused(parts).find("absent"), std::string::npos);
  parts = shop_.parts();
  parts.metadata = "{}";
  EXPECT_NE(refused(parts).find("ImageName"), std::string::npos);
}

TEST_F(EifTest, APartThatChangesWhileItIsReadLeavesNoFile) {
  using enum SectionType;
  auto path = shop_.path("none.eif");
  for (std::size_t given : {3u, 4u, 5u}) {
    Bytes bytes(given, 'x');
    std::vector<SectionSource> sources;
    for (auto type : {kernel, command_line, metadata, ramdisk}) sources.push_back(source_of(type, bytes));
    for (auto& source : sources) source.size = 4;
    auto composed = compose_eif(path, {}, sources);
    EXPECT_EQ(composed.has_value(), given == 4);
    EXPECT_EQ(std::filesystem::exists(path), given == 4);
    std::filesystem::remove(path);
  }
}

TEST_F(EifTest, AFifoIsNoImage) {
  ASSERT_EQ(::mkfifo(shop_.path("fifo").c_str(), 0600), 0);
  EXPECT_FALSE(Eif::open(shop_.path("fifo")));
}

TEST(EifMetadata, RoundTrip) {
  EifMetadata metadata{.image_name = "a \"name\"",
                       .image_version = "1",
                       .build_time = "1970-01-01T00:00:00Z",
                       .build_tool = "cloister",
                       .build_tool_version = "0",
                       .operating_system = "Linux",
                       .kernel_version = "6.12",
                       .docker_info = R"({"a":[1]})",
                       .custom = "null"};
  auto again = EifMetadata::parse(metadata.to_json());
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->image_name, metadata.image_name);
  EXPECT_EQ(again->custom, "null");
  EXPECT_EQ(again->to_json(), metadata.to_json());
}

TEST(EifMetadata, WhatLacksAMemberIsRefused) {
  EXPECT_FALSE(EifMetadata::parse("[]"));
  EXPECT_FALSE(EifMetadata::parse("{"));
  auto good = EifMetadata().to_json();
  EXPECT_TRUE(EifMetadata::parse(good));
  for (const char* name :
       {"ImageName", "ImageVersion", "BuildMetadata", "BuildTime", "BuildTool", "BuildToolVersion",
        "OperatingSystem", "KernelVersion", "DockerInfo", "CustomMetadata"}) {
    auto changed = good;
    auto quoted = fmt::format("\"{}\"", name);
    changed.replace(changed.find(quoted), quoted.size(), "\"x\"");
    EXPECT_FALSE(EifMetadata::parse(changed)) << name;
  }
}

}  // namespace
}  // namespace cloister::image
