// --json is what `nitro-cli describe-eif` prints, so that scripts written for it go on working.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/image_verbs.h"
#include "cli/verify_input.h"
#include "crypto/x509_text.h"
#include "image/eif_metadata.h"
#include "image/eif_signature.h"

namespace cloister::cli {

namespace {

using nlohmann::ordered_json;

struct Options {
  std::string file;
  bool json = false;
};

struct Facts {
  image::Eif image;
  attestation::Measurements measurements;
  std::optional<image::EifSignature> signature;
  Status signature_check;
  std::string command_line;
  Result<image::EifMetadata> metadata;  // an error: of another shape
};

Result<Facts> gather(const std::string& path) {
  auto image = TRY(image::Eif::open(path));
  auto measurements = TRY(image::measure_eif(image));
  auto signature = TRY(image::read_signature(image));
  Status check;
  if (signature) check = image::verify_signature(*signature, measurements.pcrs.at(0));
  auto command_line = TRY(image.command_line());
  auto json = TRY(image.metadata());
  auto metadata = image::EifMetadata::parse(as_text(json));
  return Facts{std::move(image), std::move(measurements), std::move(signature),
               std::move(check), std::move(command_line), std::move(metadata)};
}

// --- in words ---

void line(std::string& out, std::string_view name, std::string_view text) {
  out += fmt::format("{:<13} {}\n", name, text.empty() ? "-" : escape_controls(text));
}

void add_signature(std::string& out, const Facts& facts) {
  if (!facts.signature) {
    line(out, "signature", "none");
    return;
  }
  const auto& certificate = facts.signature->certificate;
  line(out, "signature",
       facts.signature_check ? "verifies" : "DOES NOT VERIFY: " + facts.signature_check.error().message());
  line(out, "  signer", certificate.subject());
  line(out, "  certificate", fmt::format("SHA-256 {}", to_hex(certificate.fingerprint())));
  line(out, "  term", fmt::format("{} to {}", utc(certificate.not_before()), utc(certificate.not_after())));
}

void add_metadata(std::string& out, const Result<image::EifMetadata>& metadata) {
  if (!metadata) {
    line(out, "metadata", "of an unknown shape: " + metadata.error().message());
    return;
  }
  line(out, "name", metadata->image_name);
  line(out, "version", metadata->image_version);
  line(out, "built at", metadata->build_time);
  line(out, "built by", metadata->build_tool);
  line(out, "  version", metadata->build_tool_version);
  line(out, "system", metadata->operating_system);
  line(out, "  kernel", metadata->kernel_version);
}

std::string in_words(const Facts& facts) {
  const auto& image = facts.image;
  std::string out;
  line(out, "image",
       fmt::format("{}, {} bytes, format version {}, CRC {:08x}", to_string(image.architecture()),
                   image.file_size(), image::kEifVersion, image.crc()));
  add_metadata(out, facts.metadata);
  for (const auto& section : image.sections())
    line(out, to_string(section.type), fmt::format("{} bytes at {}", section.size, section.offset));
  line(out, "boots with", facts.command_line);
  for (const auto& [index, pcr] : facts.measurements.pcrs)
    line(out, fmt::format("PCR{}", index), to_hex(pcr));
  add_signature(out, facts);
  return out;
}

// --- JSON ---

std::string colons(ByteView bytes) {
  std::string out;
  for (auto byte : bytes) out += fmt::format("{}{:02X}", out.empty() ? "" : ":", byte);
  return out;
}

ordered_json to_json(const crypto::Certificate& certificate) {
  auto text = crypto::text_of(certificate);
  return {{"IssuerName", text.issuer},
          {"Algorithm", text.algorithm},
          {"NotBefore", text.not_before},
          {"NotAfter", text.not_after},
          {"Signature", colons(text.signature)}};
}

// nitro-cli puts the custom object's members beside the others, which win here: nobody forges them so.
ordered_json to_json(const image::EifMetadata& metadata) {
  ordered_json out{{"BuildTime", metadata.build_time},
                   {"BuildTool", metadata.build_tool},
                   {"BuildToolVersion", metadata.build_tool_version},
                   {"OperatingSystem", metadata.operating_system},
                   {"KernelVersion", metadata.kernel_version}};
  out["DockerInfo"] = ordered_json::parse(metadata.docker_info, nullptr, false);
  auto custom = ordered_json::parse(metadata.custom, nullptr, false);
  if (!custom.is_object()) return out;
  for (const auto& [name, value] : custom.items())
    if (!out.contains(name)) out[name] = value;
  return out;
}

std::string as_json(const Facts& facts) {
  ordered_json out{{"EifVersion", image::kEifVersion}};
  out.update(ordered_json::parse(facts.measurements.to_json()));
  out["IsSigned"] = facts.signature.has_value();
  if (facts.signature) out["SigningCertificate"] = to_json(facts.signature->certificate);
  out["CheckCRC"] = true;  // else it would not be open
  if (facts.signature) out["SignatureCheck"] = facts.signature_check.has_value();
  if (facts.metadata) {
    out["ImageName"] = facts.metadata->image_name;
    out["ImageVersion"] = facts.metadata->image_version;
    out["Metadata"] = to_json(*facts.metadata);
  }
  out["Architecture"] = to_string(facts.image.architecture());
  out["CommandLine"] = facts.command_line;
  out["Sections"] = ordered_json::array();
  for (const auto& section : facts.image.sections())
    out["Sections"].push_back(
        {{"Type", to_string(section.type)}, {"Offset", section.offset}, {"Size", section.size}});
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

Result<int> describe(const Options& options) {
  auto facts = TRY(gather(options.file));
  fmt::print("{}", options.json ? as_json(facts) : in_words(facts));
  return 0;
}

}  // namespace

void add_image_describe(CommandLine& line, Command& image, const Context&) {
  auto options = std::make_shared<Options>();
  line.verb(image, "describe", "Show what an image holds, its measurements and its signer")
      .text("FILE", options->file, "the image (.eif)", true)
      .flag("--json", options->json, "print the facts as JSON, in the shape of nitro-cli describe-eif")
      .example("cloister image describe ocr.eif")
      .action([options] { return describe(*options); });
}

}  // namespace cloister::cli
