#include "attestation/judge.h"

namespace cloister::attestation {

namespace {

constexpr const char* kDebugHint =
    "what runs there is nobody's secret: start it without --debug-mode; --allow-debug accepts it for a trial";
constexpr const char* kNothingComparedHint =
    "--image MEASUREMENTS.json compares it; --any-image if you only ask who made the document";
constexpr const char* kImageHint =
    "this is another image, or another build of it: ask its owner which one they published";
constexpr const char* kParentHint = "the enclave runs on another machine than you expect";
constexpr const char* kRoleHint = "its machine has another IAM role than you expect, or none";
constexpr const char* kTimeHint = "--at takes a time at or after the document's own; is a clock wrong?";

bool measured(const Document& document, unsigned index) {
  auto found = document.pcrs.find(index);
  return found != document.pcrs.end() && !all_zero(found->second);
}

void judge_mode(const Document& document, const Demands& demands, Judgement& out) {
  if (document.debug_mode()) {
    if (!demands.allow_debug)
      out.doubts.push_back({"debug mode: PCR0, PCR1 and PCR2 are zero, so no image is measured", kDebugHint});
  } else if (!measured(document, 0)) {
    out.doubts.push_back({"PCR0: zero or not in the document, so no image is measured", ""});
  }
}

void judge_image(const Document& document, const Demands& demands, Judgement& out) {
  if (!demands.image) {
    if (!demands.any_image) out.doubts.push_back({"not compared with any image", kNothingComparedHint});
    return;
  }
  if (demands.image->pcrs.empty()) out.doubts.push_back({"the measurements expect nothing", ""});
  for (const auto& [index, expected] : demands.image->pcrs) {
    out.image.push_back(compare(document, index, expected));
    auto difference = out.image.back().difference();
    if (!difference.empty()) out.doubts.push_back({std::move(difference), kImageHint});
  }
}

std::optional<Comparison> demand(const Document& document, unsigned index, const std::string& text,
                                 const char* hint, Judgement& out) {
  if (text.empty()) return std::nullopt;
  auto comparison = compare(document, index, pcr_of(text));
  if (!comparison.difference().empty())
    out.doubts.push_back({fmt::format("PCR{} is not that of {}", index, text), hint});
  return comparison;
}

void judge_parent(const Document& document, const Demands& demands, Judgement& out) {
  out.module = Module::parse(document.module_id);
  if (out.module && measured(document, kInstancePcr)) {
    auto own = compare(document, kInstancePcr, pcr_of(out.module->instance));
    out.instance_measured = own.difference().empty();
    if (!out.instance_measured)
      out.doubts.push_back(
          {fmt::format("PCR4 is not that of {}, which module_id names", out.module->instance), ""});
  }
  out.instance = demand(document, kInstancePcr, demands.instance, kParentHint, out);
  out.role = demand(document, kRolePcr, demands.role, kRoleHint, out);
}

}  // namespace

Judgement judge(const Document& document, const Demands& demands, sys::UnixMillis at) {
  Judgement out;
  judge_mode(document, demands, out);
  judge_image(document, demands, out);
  judge_parent(document, demands, out);
  if (document.timestamp > at + kMaxClockSkew)
    out.doubts.push_back({"made after the time it is judged at", kTimeHint});
  return out;
}

}  // namespace cloister::attestation
