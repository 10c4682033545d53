#include "host/key_openings.h"

#include <algorithm>
#include <map>

#include "iam/policy_date.h"

namespace cloister::host {

namespace {

constexpr std::string_view kName = "kms:encryptioncontext:cloister:name";
constexpr std::string_view kRelease = "kms:encryptioncontext:cloister:release";
constexpr std::string_view kSigner = "kms:encryptioncontext:cloister:signer";
constexpr std::string_view kTime = "aws:currenttime";

// What one way in is limited to, gathered from the conditions that nothing has settled.
class Limits {
 public:
  void must(const iam::Condition& condition);
  void must_not(const std::vector<const iam::Condition*>& together);
  // false: no request can satisfy them all.
  bool possible() const;
  void tell(Opening& out, sys::UnixMillis now) const;

 private:
  bool is_list(const iam::Condition& condition, bool negated) const;
  void narrow(const iam::Condition& condition);
  void end_at(const std::string& time);
  void other(std::string text);

  // By condition key; absent: every value.
  std::map<std::string, std::vector<std::string>, std::less<>> lists_;
  std::string until_;
  std::vector<std::string> others_;
};

bool Limits::is_list(const iam::Condition& condition, bool negated) const {
  const auto& comparison = condition.comparison;
  bool ours = condition.key == kName || condition.key == kRelease || condition.key == kSigner;
  return ours && comparison.comparison == iam::Comparison::string_equals && comparison.negated == negated &&
         !comparison.if_exists && comparison.set == iam::SetRule::single;
}

void Limits::narrow(const iam::Condition& condition) {
  auto [list, first] = lists_.try_emplace(condition.key, condition.values);
  if (first) return;
  std::erase_if(list->second, [&](const auto& value) {
    return std::ranges::find(condition.values, value) == condition.values.end();
  });
}

void Limits::end_at(const std::string& time) {
  bool sooner = until_.empty() || iam::parse_policy_date(time) < iam::parse_policy_date(until_);
  if (sooner) until_ = time;
}

void Limits::other(std::string text) {
  if (std::ranges::find(others_, text) == others_.end()) others_.push_back(std::move(text));
}

// A bound on the time with one value.
bool bounds_time(const iam::Condition& condition, iam::Order strict, iam::Order or_equal) {
  const auto& comparison = condition.comparison;
  return condition.key == kTime && comparison.comparison == iam::Comparison::date &&
         condition.values.size() == 1 && (comparison.order == strict || comparison.order == or_equal);
}

void Limits::must(const iam::Condition& condition) {
  if (is_list(condition, false)) return narrow(condition);
  if (bounds_time(condition, iam::Order::less, iam::Order::less_or_equal))
    return end_at(condition.values.front());
  other(describe(condition));
}

void Limits::must_not(const std::vector<const iam::Condition*>& together) {
  const auto& first = *together.front();
  if (together.size() == 1 && is_list(first, true)) return narrow(first);
  if (together.size() == 1 && bounds_time(first, iam::Order::greater, iam::Order::greater_or_equal))
    return end_at(first.values.front());
  std::vector<std::string> texts;
  texts.reserve(together.size());
  for (const auto* one : together) texts.push_back(describe(*one));
  other(fmt::format("not: {}", fmt::join(texts, " and ")));
}

bool Limits::possible() const {
  return std::ranges::none_of(lists_, [](const auto& list) { return list.second.empty(); });
}

void Limits::tell(Opening& out, sys::UnixMillis now) const {
  auto list = [&](std::string_view key) {
    auto at = lists_.find(key);
    return at == lists_.end() ? std::vector<std::string>() : at->second;
  };
  out.names = list(kName);
  out.releases = list(kRelease);
  out.signers = list(kSigner);
  out.until = until_;
  auto end = iam::parse_policy_date(until_);
  out.over = end && *end <= static_cast<double>(now) / 1000;
  out.conditions = others_;
}

bool same_way(const Opening& a, const Opening& b) {
  return a.document == b.document && a.image == b.image && a.names == b.names && a.releases == b.releases &&
         a.signers == b.signers && a.until == b.until && a.conditions == b.conditions;
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (std::ranges::find(list, text) == list.end()) list.push_back(text);
}

// What one kind of document opens, statement by statement.
class Collector {
 public:
  Collector(const KeyView& view, sys::UnixMillis now) : view_(view), now_(now) {}

  void collect(const Opening& what, const std::vector<iam::Supposition>& documents);
  std::vector<Opening> take() { return std::move(found_); }

 private:
  using Seen = std::pair<const iam::Statement*, std::string>;  // and whom it let in

  void add(Opening opening, const iam::Statement& allow, const Admitted& one);

  const KeyView& view_;
  sys::UnixMillis now_;
  std::vector<Opening> found_;
  std::set<Seen> wider_;  // who needs no document, or any, is not told again for each image
};

void Collector::add(Opening opening, const iam::Statement& allow, const Admitted& one) {
  Limits limits;
  for (const auto* condition : one.prospect.must) limits.must(*condition);
  for (const auto& together : one.prospect.must_not) limits.must_not(together);
  if (!limits.possible()) return;
  limits.tell(opening, now_);
  auto same = std::ranges::find_if(found_, [&](const auto& other) { return same_way(other, opening); });
  auto& row = same == found_.end() ? found_.emplace_back(std::move(opening)) : *same;
  for (const auto& name : names_of(view_, {one})) add_once(row.principals, name);
  add_once(row.statements, statement_name(view_, allow));
}

void Collector::collect(const Opening& what, const std::vector<iam::Supposition>& documents) {
  std::set<Seen> now_seen;
  for (const auto& allow : view_.policy.statements) {
    if (allow.effect != iam::Effect::allow) continue;
    for (const auto& document : documents) {
      for (const auto& one : admitted(view_, allow, "kms:Decrypt", document)) {
        Seen seen{&allow, names_of(view_, {one}).front()};
        if (wider_.contains(seen)) continue;
        add(what, allow, one);
        if (what.document != Opening::Document::image) now_seen.insert(std::move(seen));
      }
    }
  }
  wider_.merge(now_seen);
}

}  // namespace

std::vector<Opening> find_openings(const KeyView& view, sys::UnixMillis now) {
  auto ever = view;
  ever.now.reset();
  Collector out(ever, now);
  Opening what;
  out.collect(what, {no_document()});
  what.document = Opening::Document::any_image;
  out.collect(what, documents_of_anybody());
  what.document = Opening::Document::image;
  for (const auto& image : named_images(view.policy)) {
    what.image = image;
    out.collect(what, {document_of(image)});
  }
  return out.take();
}

}  // namespace cloister::host
