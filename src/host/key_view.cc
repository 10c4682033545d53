#include "host/key_view.h"

#include <algorithm>
#include <utility>

namespace cloister::host {

namespace {

constexpr std::size_t kMostValuesTold = 4;
// Registers that identify an image, the surest first; the rest is the host's or the running image's to set.
constexpr std::string_view kIdentifying[] = {"PCR0", "PCR8", "PCR1"};
constexpr std::string_view kImageKey = "kms:recipientattestation:imagesha384";  // PCR0 by another name

std::string key_of(std::string_view pcr) {
  return fmt::format("{}{}", kAttestationKeys, iam::to_lower(pcr));
}

// A register and its other names become one thing or another.
template <class Set>
void set_register(std::string_view pcr, const Set& set) {
  set(key_of(pcr));
  if (pcr == "PCR0") set(std::string(kImageKey));
}

bool names_register(const iam::Condition& condition, std::string_view pcr) {
  return condition.key == key_of(pcr) || (pcr == "PCR0" && condition.key == kImageKey);
}

// A document with everything unknown in it.
iam::Supposition some_document() {
  return {};
}

using PatternKind = iam::PrincipalPattern::Kind;

std::string name_of(const KeyView& view, const Admitted& one) {
  switch (one.pattern->kind) {
    case PatternKind::arn:
      return one.who.name;
    case PatternKind::foreign:
      return fmt::format("the service or federated identity {}", one.who.name);
    case PatternKind::gone:
      return "nobody";
    case PatternKind::account:
      return one.who.account == view.account ? "whom the account's IAM policies allow"
                                             : fmt::format("whom account {} allows", one.who.account);
    case PatternKind::anyone:
      if (one.who.account.empty()) return "anyone, of whatever account";
      return one.who.account == view.account ? "anyone of the key's account"
                                             : fmt::format("anyone of account {}", one.who.account);
  }
  return {};
}

}  // namespace

std::string statement_name(const KeyView& view, const iam::Statement& statement) {
  if (!statement.sid.empty()) return statement.sid;
  return fmt::format("statement {}", &statement - view.policy.statements.data() + 1);
}

std::string describe(const iam::Condition& condition) {
  auto told = condition.values;
  if (told.size() > kMostValuesTold) {
    told.resize(kMostValuesTold);
    told.emplace_back("…");
  }
  return fmt::format("{} {} {}", condition.comparison.name(), condition.key, fmt::join(told, ", "));
}

bool is_attestation(const iam::Condition& condition) {
  return condition.key.starts_with(kAttestationKeys);
}

bool is_zero_register(std::string_view value) {
  return !value.empty() && value.find_first_not_of('0') == std::string_view::npos;
}

std::vector<NamedImage> named_images(const iam::Policy& policy) {
  std::vector<NamedImage> out;
  for (auto pcr : kIdentifying) {
    for (const auto& statement : policy.statements) {
      for (const auto& condition : statement.conditions) {
        if (!names_register(condition, pcr) || condition.comparison.comparison == iam::Comparison::null)
          continue;
        for (const auto& value : condition.values) {
          NamedImage image{std::string(pcr), iam::to_lower(value)};
          bool told = is_zero_register(value) || value.find_first_of("*?") != std::string::npos ||
                      std::ranges::find(out, image) != out.end();
          if (!told) out.push_back(std::move(image));
        }
      }
    }
  }
  return out;
}

iam::Supposition no_document() {
  iam::Supposition out;
  out.all_absent(kAttestationKeys);
  return out;
}

iam::Supposition document_of(const NamedImage& image) {
  auto out = some_document();
  for (auto pcr : kIdentifying) {
    if (pcr == image.pcr) {
      set_register(pcr, [&](const std::string& key) { out.is(key, image.value); });
      break;
    }
    set_register(pcr, [&](const std::string& key) { out.is_other(key); });
  }
  return out;
}

std::vector<iam::Supposition> documents_of_anybody() {
  std::vector<iam::Supposition> out;
  for (auto changed : {"PCR1", "PCR2"}) {
    auto& document = out.emplace_back(some_document());
    for (auto pcr : {"PCR0", "PCR8", changed})
      set_register(pcr, [&](const std::string& key) { document.is_other(key); });
  }
  return out;
}

std::vector<Admitted> admitted(const KeyView& view, const iam::Statement& allow, std::string_view action,
                               const iam::Supposition& given) {
  iam::Question question{std::string(action), view.arn, given};
  if (view.now) question.given.not_before(*view.now);
  std::vector<Admitted> out;
  bool everyone_asked = false;  // the longest question, and somebody may have written it many times
  for (const auto& pattern : allow.principals.entries) {
    if (pattern.kind == PatternKind::anyone && std::exchange(everyone_asked, true)) continue;
    auto before = out.size();
    for (auto& who : iam::subjects_of(pattern, view.accounts, view.account)) {
      auto prospect = iam::prospect(view.policy, &allow, who, question);
      if (prospect.possible) out.push_back({&pattern, std::move(who), std::move(prospect)});
    }
    // Somebody of whatever account stands for those of the accounts that are named.
    bool everyone = out.size() > before + 1 && out.back().who.account.empty();
    if (everyone) out.erase(out.begin() + static_cast<std::ptrdiff_t>(before), out.end() - 1);
  }
  return out;
}

std::vector<std::string> names_of(const KeyView& view, const std::vector<Admitted>& people) {
  std::vector<std::string> out;
  for (const auto& one : people) {
    auto name = name_of(view, one);
    if (std::ranges::find(out, name) == out.end()) out.push_back(std::move(name));
  }
  return out;
}

bool any_outsider(const KeyView& view, const std::vector<Admitted>& people) {
  return std::ranges::any_of(people, [&](const auto& one) { return one.who.account != view.account; });
}

bool denied_to(const KeyView& view, const iam::Subject& who, std::string_view action,
               const iam::Supposition& given) {
  iam::Question question{std::string(action), view.arn, given};
  if (view.now) question.given.not_before(*view.now);
  return !iam::prospect(view.policy, nullptr, who, question).possible;
}

bool denied_to_everyone(const KeyView& view, std::string_view action, const iam::Supposition& given) {
  auto everyone = iam::subjects_of({PatternKind::anyone, {}}, view.accounts, view.account);
  return std::ranges::all_of(everyone, [&](const auto& who) { return denied_to(view, who, action, given); });
}

}  // namespace cloister::host
