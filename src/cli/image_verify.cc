#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "cli/image_build.h"
#include "cli/image_verbs.h"
#include "cli/verify_input.h"
#include "image/eif_signature.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string file;
  std::string measurements;
  std::string at;
  std::string recipe;
  RecipeOptions more;
};

enum class Verdict { good, bad, none };

// One line of the report.
struct Check {
  const char* name;
  Verdict verdict;
  std::string text;
};

// What the checks are about: an image whose structure holds.
struct Subject {
  image::Eif image;
  attestation::Measurements measurements;
  std::optional<image::EifSignature> signature;
};

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::good:
      return "good";
    case Verdict::bad:
      return "BAD";
    case Verdict::none:
      return "none";
  }
  return "";
}

Check check(const char* name, const Status& status, std::string good) {
  if (status) return {name, Verdict::good, std::move(good)};
  return {name, Verdict::bad, status.error().message()};
}

Check structure(const image::Eif& image) {
  return {"structure", Verdict::good,
          fmt::format("{} sections, {} bytes, {}", image.sections().size(), image.file_size(),
                      to_string(image.architecture()))};
}

Check checksum(const image::Eif& image) {
  return {"checksum", Verdict::good, fmt::format("CRC {:08x}", image.crc())};
}

Check signed_by(const Subject& subject) {
  if (!subject.signature) return {"signature", Verdict::none, "it is not signed"};
  auto verified = image::verify_signature(*subject.signature, subject.measurements.pcrs.at(0));
  const auto& certificate = subject.signature->certificate;
  return check("signature", verified,
               fmt::format("over PCR0, by the key of {} (SHA-256 {})", certificate.subject(),
                           to_hex(certificate.fingerprint())));
}

Check validity(const Subject& subject, sys::UnixMillis at) {
  if (!subject.signature) return {"certificate", Verdict::none, "it is not signed"};
  const auto& certificate = subject.signature->certificate;
  auto term = fmt::format("at {}; its term is {} to {}", utc(at), utc(certificate.not_before()),
                          utc(certificate.not_after()));
  auto valid = image::check_validity(certificate, at);
  if (valid) return {"certificate", Verdict::good, "valid " + term};
  return {"certificate", Verdict::bad, fmt::format("{} {}", valid.error().message(), term)};
}

Status equal(const attestation::Measurements& expected, const attestation::Measurements& found) {
  for (const auto& [index, pcr] : expected.pcrs) {
    auto at = found.pcrs.find(index);
    if (at == found.pcrs.end())
      return fail(ErrorKind::denied, "PCR{} is expected, and this image has none", index);
    if (at->second != pcr)
      return fail(ErrorKind::denied, "PCR{}: {} expected, {} found", index, to_hex(pcr), to_hex(at->second));
  }
  return {};
}

Check measured(const Subject& subject, const Options& options,
               const std::optional<attestation::Measurements>& expected) {
  if (!expected)
    return {"measurements", Verdict::none,
            "PCR0 " + to_hex(subject.measurements.pcrs.at(0)) + ", not compared"};
  return check("measurements", equal(*expected, subject.measurements),
               fmt::format("{} PCRs are those of {}", expected->pcrs.size(), options.measurements));
}

// The lines that name what differs are the report's; the check says how many there are.
Result<Check> rebuilt(const Context& context, const Subject& subject, const Options& options) {
  if (options.recipe.empty()) return Check{"recipe", Verdict::none, "not rebuilt"};
  auto found = TRY(compare_with_recipe(context, subject.image, options.recipe, options.more));
  for (const auto& line : found) fmt::print("      {}\n", escape_controls(line));
  if (found.empty()) return Check{"recipe", Verdict::good, options.recipe + " makes the same image"};
  return Check{"recipe", Verdict::bad, fmt::format("not what {} makes: {}", options.recipe, found.front())};
}

Result<std::optional<attestation::Measurements>> read_expected(const std::string& path) {
  if (path.empty()) return std::nullopt;
  auto text = TRY(sys::read_file(path, attestation::kMaxMeasurementsFile));
  return TRY(attestation::Measurements::from_json(as_text(text)).context(path));
}

Result<Subject> examine(const std::string& path) {
  auto image = TRY(image::Eif::open(path));
  auto measurements = TRY(image::measure_eif(image));
  auto signature = TRY(image::read_signature(image));
  return Subject{std::move(image), std::move(measurements), std::move(signature)};
}

Result<int> verify(const Context& context, const Options& options) {
  auto at = options.at.empty() ? context.clock.now() : TRY(parse_time(options.at));
  auto expected = TRY(read_expected(options.measurements));
  auto subject = TRY(examine(options.file));
  auto recipe = TRY(rebuilt(context, subject, options));
  const Check checks[] = {structure(subject.image),
                          checksum(subject.image),
                          signed_by(subject),
                          validity(subject, at),
                          measured(subject, options, expected),
                          recipe};
  for (const auto& one : checks)
    fmt::print("{:<5} {:<13} {}\n", to_string(one.verdict), one.name, escape_controls(one.text));
  const auto* bad = std::ranges::find(checks, Verdict::bad, &Check::verdict);
  if (bad == std::end(checks)) return 0;
  return fail(ErrorKind::denied, "{}: {}: {}", options.file, bad->name, bad->text);
}

}  // namespace

void add_image_verify(CommandLine& line, Command& image, const Context& context) {
  auto options = std::make_shared<Options>();
  auto command =
      line.verb(image, "verify", "Check an image: structure, checksum, signature, measurements, recipe");
  command.text("FILE", options->file, "the image (.eif)", true)
      .text("--measurements", options->measurements,
            "measurements (JSON): every PCR in them has to be the image's")
      .text("--at", options->at, "judge the certificate as of this time (RFC 3339; default: now)")
      .text("--recipe", options->recipe, "make the image of this recipe, and name what differs");
  add_recipe_options(command, options->more);
  command.example("cloister image verify ocr.eif --measurements measurements.json")
      .example("cloister image verify ocr.eif --recipe samples/ocr/image/enclave.yaml")
      .action([&context, options] { return verify(context, *options); });
}

}  // namespace cloister::cli
