// Attestation documents and measurement files. What is parsed is within the limits of the specification and
// survives being encoded again; no input is ever accepted as signed; what nobody demanded anything of is
// doubted.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "attestation/document.h"
#include "attestation/judge.h"
#include "codec/cose.h"

namespace {

using namespace cloister;
using namespace cloister::attestation;

constexpr sys::UnixMillis kLongAfter = 4'000'000'000'000;  // every certificate in the corpus has expired

void require(bool condition) {
  if (!condition) std::abort();
}

void check_judgement(const Document& document) {
  Demands demands{.allow_debug = true};
  require(!judge(document, demands, kLongAfter).doubts.empty());
  demands.image = Measurements{.pcrs = document.pcrs};
  bool zero = std::ranges::any_of(document.pcrs, [](const auto& entry) { return all_zero(entry.second); });
  auto judged = judge(document, demands, kLongAfter);
  require(judged.image.size() == document.pcrs.size() && (!zero || !judged.doubts.empty()));
  if (judged.module) require(judged.module->instance + "-" + judged.module->enclave == document.module_id);
}

void check_document(ByteView bytes) {
  auto parsed = SignedDocument::parse(bytes);
  if (!parsed.has_value()) return;
  const auto& document = parsed->document;
  require(!document.module_id.empty() && document.timestamp > 0 && !document.pcrs.empty());
  for (const auto& [index, pcr] : document.pcrs) require(index < kMaxPcrs && pcr.size() == kPcrSize);
  check_judgement(document);
  require(!document.certificate.empty() && !document.cabundle.empty() && parsed->signature.size() == 96);
  codec::CoseSign1 message{.protected_headers = codec::encode_cose_algorithm(codec::kCoseEs384),
                           .payload = encode_payload(document),
                           .signature = parsed->signature};
  auto encoded = message.encode();
  if (encoded.size() > kMaxDocument) return;  // explicit nulls made it longer
  auto again = SignedDocument::parse(encoded);
  require(again.has_value() && encode_payload(again->document) == message.payload);
  static const auto root = aws_nitro_root();
  require(!verify(bytes, root, kLongAfter).has_value());
}

void check_measurements(ByteView bytes) {
  auto parsed = Measurements::from_json(as_text(bytes));
  if (!parsed.has_value()) return;
  auto again = Measurements::from_json(parsed->to_json());
  require(again.has_value() && again->pcrs == parsed->pcrs);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteView bytes(data, size);
  check_document(bytes);
  check_measurements(bytes);
  return 0;
}
