#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/verbs.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

struct Options {
  std::string name = host::kDefaultEnclave;
  std::string image;
  std::string document;
  bool json = false;
};

bool is_zero(const attestation::Pcr& pcr) {
  return std::all_of(pcr.begin(), pcr.end(), [](auto byte) { return byte == 0; });
}

std::string utc(sys::UnixMillis at) {
  std::time_t seconds = at / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

void print_document(const attestation::Document& document, std::string_view vouched_by) {
  fmt::print("module    {}\nmade      {}\nvouched   {}\n", escape_controls(document.module_id),
             utc(document.timestamp), vouched_by);
  for (const auto& [index, pcr] : document.pcrs) {
    if (!is_zero(pcr)) fmt::print("PCR{:<6} {}\n", index, to_hex(pcr));
  }
  if (document.debug_mode())
    fmt::print("DEBUG MODE: PCR0-2 are zero; the enclave's console is open to its host\n");
}

void print_json(const attestation::Document& document, std::string_view vouched_by) {
  nlohmann::json out{{"module_id", document.module_id},
                     {"timestamp", document.timestamp},
                     {"debug", document.debug_mode()},
                     {"root", vouched_by}};
  for (const auto& [index, pcr] : document.pcrs) out["pcrs"][std::to_string(index)] = to_hex(pcr);
  fmt::print("{}\n", out.dump(2));
}

void print(const Options& options, const attestation::Document& document, std::string_view vouched_by) {
  options.json ? print_json(document, vouched_by) : print_document(document, vouched_by);
}

// A document in a file is judged at its own time: its certificates live for hours.
Result<int> verify_file(const Options& options) {
  auto bytes = TRY(sys::read_file(options.document, attestation::kMaxDocument));
  auto parsed = TRY(attestation::SignedDocument::parse(bytes).context(options.document));
  auto document = TRY(attestation::verify(bytes, attestation::aws_nitro_root(), parsed.document.timestamp)
                          .context(options.document));
  print(options, document, "the AWS Nitro Enclaves root");
  if (options.image.empty()) return 0;
  auto text = TRY(sys::read_file(options.image, attestation::kMaxMeasurementsFile));
  TRY(TRY(attestation::Measurements::from_json(as_text(text)).context(options.image)).check(document));
  return 0;
}

Result<int> verify(const Context& context, const Options& options) {
  if (!options.document.empty()) return verify_file(options);
  auto enclave = TRY(host::read_record(context.paths, options.name));
  auto session = TRY(context.open_session(enclave, options.image));
  bool simulated = enclave.mode == "simulated";
  print(options, session.document(),
        simulated ? "this machine's development root (SIMULATED, not confidential)"
                  : "the AWS Nitro Enclaves root");
  return 0;
}

}  // namespace

void add_verify(CommandLine& line, const Context& context) {
  auto options = std::make_shared<Options>();
  line.verb("verify", "Check an enclave's attestation, or a Nitro attestation document in a file")
      .text("--document", options->document,
            "a document (CBOR) to verify against the AWS root, at its own time")
      .text("--image", options->image, "measurements (JSON) that it must have")
      .flag("--json", options->json, "print the facts as JSON")
      .text("--name", options->name, "the enclave's name")
      .example("cloister verify --document attestation.cbor --image measurements.json")
      .action([&context, options] { return verify(context, *options); });
}

}  // namespace cloister::cli
