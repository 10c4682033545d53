#include "host/key_findings.h"

#include <algorithm>

#include "attestation/measurements.h"
#include "base/bytes.h"

namespace cloister::host {

namespace {

constexpr std::string_view kDecrypt = "kms:Decrypt";
constexpr std::string_view kReEncryptFrom = "kms:ReEncryptFrom";
constexpr std::string_view kCreateGrant = "kms:CreateGrant";
constexpr std::string_view kPutKeyPolicy = "kms:PutKeyPolicy";
constexpr std::string_view kReplicateKey = "kms:ReplicateKey";
// What a grant may give that ends in a plaintext ("Grant operations" of the KMS developer guide).
constexpr std::string_view kGrantable[] = {"Decrypt", "ReEncryptFrom"};
constexpr const char* kGrantOperations = "kms:GrantOperations";

constexpr const char* kDenyAdvice =
    "deny kms:Decrypt and kms:ReEncryptFrom to everyone but your images: `cloister key allow`, or `key "
    "revoke "
    "--all`, "
    "writes that Deny";
constexpr const char* kTrustAdvice = "leave it to people whom you trust with the plaintext";

using PatternKind = iam::PrincipalPattern::Kind;

std::string joined(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

class Judge {
 public:
  Judge(const KeyFacts& facts, const KeyView& view);
  std::vector<Finding> judge();
  // Grants and regions alone.
  std::vector<Finding> judge_beside_policy();

 private:
  void judge_allow(const iam::Statement& allow);
  void judge_delegation(const iam::Statement& allow, bool unattested);
  void judge_wildcard(const iam::Statement& allow, bool unattested);
  void judge_grants_by(const iam::Statement& allow);
  void judge_control(const iam::Statement& allow, std::string_view action, const char* code,
                     const char* text);
  void judge_deleted(const iam::Statement& statement);
  void judge_images(const iam::Statement& statement);
  void judge_denies();
  void judge_grant(const kms::Grant& grant);
  void judge_regions();
  void judge_ends();

  std::vector<Admitted> unattested(const iam::Statement& allow, std::string_view action) const {
    return admitted(view_, allow, action, no_document());
  }
  // Anyone who may do it with some document, or none.
  std::vector<Admitted> at_all(const iam::Statement& allow, std::string_view action) const {
    return admitted(view_, allow, action, {});
  }
  std::string conditions_of(const iam::Statement& allow) const;
  bool denied_by_grant(std::string_view operation) const {
    return denied_to_everyone(view_, fmt::format("kms:{}", operation), no_document());
  }
  void add(Severity severity, const char* code, std::string statement, std::string text,
           std::string advice = {}) {
    found_.push_back({severity, code, std::move(statement), std::move(text), std::move(advice)});
  }

  const KeyFacts& facts_;
  const KeyView& view_;
  std::vector<Finding> found_;
};

Judge::Judge(const KeyFacts& facts, const KeyView& view) : facts_(facts), view_(view) {}

// Conditions are there, so that the reader wonders: none of them asks for a document.
std::string Judge::conditions_of(const iam::Statement& allow) const {
  std::vector<std::string> out;
  out.reserve(allow.conditions.size());
  for (const auto& condition : allow.conditions) out.push_back(describe(condition));
  return out.empty() ? std::string()
                     : fmt::format("; its conditions do not ask for one ({})", fmt::join(out, " and "));
}

void Judge::judge_allow(const iam::Statement& allow) {
  auto name = statement_name(view_, allow);
  auto decrypting = unattested(allow, kDecrypt);
  if (!decrypting.empty())
    add(Severity::warning, "decrypt-without-attestation", name,
        fmt::format("without an attestation document can decrypt: {}{}", joined(names_of(view_, decrypting)),
                    conditions_of(allow)),
        kDenyAdvice);
  // With a document of one's own making, though not without any.
  std::vector<Admitted> anybody;
  for (const auto& document : documents_of_anybody()) {
    for (auto& one : admitted(view_, allow, kDecrypt, document)) anybody.push_back(std::move(one));
  }
  if (!anybody.empty() && decrypting.empty())
    add(Severity::warning, "any-image", name,
        fmt::format("from an image of anybody's making can decrypt: {}", joined(names_of(view_, anybody))),
        "name the image whole, by PCR0 or ImageSha384, or its signer by PCR8");
  auto moving = unattested(allow, kReEncryptFrom);
  if (!moving.empty())
    add(Severity::warning, "re-encrypt-from", name,
        fmt::format(
            "re-encryption to a key of one's own needs no attestation, and is a decryption. It is open to: "
            "{}",
            joined(names_of(view_, moving))),
        kDenyAdvice);
  bool open = !decrypting.empty() || !moving.empty();
  judge_delegation(allow, open);
  judge_wildcard(allow, open);
  judge_grants_by(allow);
  judge_control(allow, kPutKeyPolicy, "put-key-policy", "can write another policy, and so let themselves in");
  if (facts_.key.multi_region)
    judge_control(allow, kReplicateKey, "replicate-key",
                  "can make a replica of the key in another region, with a policy of its own");
}

void Judge::judge_delegation(const iam::Statement& allow, bool unattested) {
  std::vector<std::string> accounts;
  for (const auto& pattern : allow.principals.entries) {
    if (pattern.kind == PatternKind::account) accounts.push_back(pattern.value);
  }
  bool concerns = unattested || !at_all(allow, kDecrypt).empty() || !at_all(allow, kPutKeyPolicy).empty() ||
                  !at_all(allow, kCreateGrant).empty();
  if (accounts.empty() || !concerns) return;
  add(unattested ? Severity::warning : Severity::note, "iam-delegated", statement_name(view_, allow),
      fmt::format("the IAM policies of account {} decide who may do what this statement allows: whoever can "
                  "write those can be among them",
                  joined(accounts)),
      unattested ? kDenyAdvice : "");
}

void Judge::judge_wildcard(const iam::Statement& allow, bool unattested) {
  bool wild = std::ranges::any_of(allow.principals.entries,
                                  [](const auto& one) { return one.kind == PatternKind::anyone; });
  if (!wild) return;
  bool controls = !at_all(allow, kPutKeyPolicy).empty() || !at_all(allow, kCreateGrant).empty();
  auto decrypting = at_all(allow, kDecrypt);
  if (!unattested && !controls && decrypting.empty()) return;
  bool bad = unattested || controls;
  add(bad ? Severity::warning : Severity::note, "wildcard-principal", statement_name(view_, allow),
      bad ? "this statement lets everyone in whom its conditions do not keep out"
          : fmt::format("can start an image of yours and have it decrypt: {}",
                        joined(names_of(view_, decrypting))),
      "name the principals");
}

// Who makes a grant chooses who is let in. An explicit Deny for everyone binds those as well.
void Judge::judge_grants_by(const iam::Statement& allow) {
  std::vector<Admitted> makers;
  bool opens = false;
  for (auto operation : kGrantable) {
    auto given = no_document();
    given.is(kGrantOperations, std::string(operation));
    auto people = admitted(view_, allow, kCreateGrant, given);
    opens = opens || (!people.empty() && !denied_by_grant(operation));
    for (auto& one : people) makers.push_back(std::move(one));
  }
  if (makers.empty()) return;
  auto names = joined(names_of(view_, makers));
  if (opens)
    add(Severity::warning, "create-grant", statement_name(view_, allow),
        fmt::format("can let anybody decrypt without attestation, by a grant: {}", names), kDenyAdvice);
  else
    add(Severity::note, "create-grant", statement_name(view_, allow),
        fmt::format("can make grants, which the Deny for everyone binds: {}", names));
}

void Judge::judge_control(const iam::Statement& allow, std::string_view action, const char* code,
                          const char* text) {
  auto people = unattested(allow, action);
  if (people.empty()) return;
  bool wild =
      std::ranges::any_of(people, [](const auto& one) { return one.pattern->kind == PatternKind::anyone; });
  bool bad = wild || any_outsider(view_, people);
  add(bad ? Severity::warning : Severity::note, code, statement_name(view_, allow),
      fmt::format("{}: {}", text, joined(names_of(view_, people))), kTrustAdvice);
}

void Judge::judge_deleted(const iam::Statement& statement) {
  std::vector<std::string> ids;
  for (const auto& entry : statement.principals.entries) {
    if (entry.kind == PatternKind::gone) ids.push_back(entry.value);
  }
  if (!ids.empty())
    add(Severity::note, "deleted-principal", statement_name(view_, statement),
        fmt::format("names what was deleted, and is nobody now: {}", joined(ids)));
}

void Judge::judge_images(const iam::Statement& statement) {
  auto simulated = to_hex(as_bytes(attestation::kSimulatedPrefix));
  bool zero = false;
  bool imitation = false;
  for (const auto& condition : statement.conditions) {
    if (!is_attestation(condition) || condition.comparison.comparison == iam::Comparison::null) continue;
    for (const auto& value : condition.values) {
      zero = zero || is_zero_register(value);
      imitation = imitation || iam::to_lower(value).starts_with(simulated);
    }
  }
  if (zero)
    add(Severity::warning, "debug-image", statement_name(view_, statement),
        "a register of zeros is named: that is any enclave in debug mode, whose host reads along",
        "take the zeros out");
  if (imitation && !facts_.takes_simulated)
    add(Severity::warning, "simulated-image", statement_name(view_, statement),
        "a simulated enclave is named, which proves nothing", "take it out: `cloister key revoke --image`");
}

void Judge::judge_denies() {
  bool decrypting = !denied_to_everyone(view_, kDecrypt, no_document());
  bool moving = !denied_to_everyone(view_, kReEncryptFrom, no_document());
  if (!decrypting && !moving) return;
  const char* what = decrypting && moving ? "decryption, and re-encryption to another key,"
                     : decrypting         ? "decryption"
                                          : "re-encryption to another key";
  add(Severity::warning, "no-deny", "",
      fmt::format("no statement denies {} to everyone without attestation: IAM policies, grants and later "
                  "statements can open it",
                  what),
      kDenyAdvice);
}

void Judge::judge_grant(const kms::Grant& grant) {
  auto who = iam::subject_named(grant.grantee);
  std::vector<std::string> open;
  std::vector<std::string> denied;
  for (const auto& operation : grant.operations) {
    bool reads = std::ranges::find(kGrantable, operation) != std::end(kGrantable);
    bool gives = operation == "CreateGrant";
    if (!reads && !gives) continue;
    bool bound = reads ? denied_to(view_, who, fmt::format("kms:{}", operation), no_document())
                       : std::ranges::all_of(kGrantable, [&](auto one) { return denied_by_grant(one); });
    (bound ? denied : open).push_back(operation);
  }
  auto name = fmt::format("grant {}", grant.id);
  if (!open.empty())
    add(Severity::warning, "grant", name,
        fmt::format("a grant lets {} do {} without attestation{}", grant.grantee, joined(open),
                    grant.constrained ? ", for some encryption contexts" : ""),
        fmt::format("aws kms revoke-grant --key-id {} --grant-id {}; or: {}", facts_.key.arn, grant.id,
                    kDenyAdvice));
  else if (!denied.empty())
    add(Severity::note, "grant", name,
        fmt::format("a grant lets {} do {}, which a Deny binds to attestation", grant.grantee,
                    joined(denied)));
}

void Judge::judge_regions() {
  if (!facts_.key.multi_region) return;
  auto regions = facts_.key.replica_regions;
  if (!facts_.key.primary_region.empty()) regions.push_back(facts_.key.primary_region);
  std::erase_if(regions, [&](const auto& region) {
    return facts_.key.arn.find(fmt::format(":kms:{}:", region)) != std::string::npos;
  });
  if (!regions.empty())
    add(Severity::warning, "replica", "",
        fmt::format("the same key has a policy of its own in {}, and decrypts there as that one says",
                    joined(regions)),
        "look at each: AWS_REGION=REGION cloister key show -k ID; packages need no multi-Region key");
}

void Judge::judge_ends() {
  for (const auto& statement : view_.policy.statements) {
    judge_images(statement);
    judge_deleted(statement);
  }
  for (const auto& opening : find_openings(view_, facts_.now)) {
    if (opening.until.empty()) continue;
    auto what = opening.document == Opening::Document::image
                    ? fmt::format("{} {:.16}…", opening.image.pcr, opening.image.value)
                    : std::string("what is open to other documents");
    add(Severity::note, "expires", joined(opening.statements),
        fmt::format("{} {} decrypt from {} on", what, opening.over ? "does not" : "will not", opening.until));
  }
}

std::vector<Finding> Judge::judge() {
  judge_denies();
  for (const auto& statement : view_.policy.statements) {
    if (statement.effect == iam::Effect::allow) judge_allow(statement);
  }
  judge_beside_policy();
  judge_ends();
  return std::move(found_);
}

std::vector<Finding> Judge::judge_beside_policy() {
  for (const auto& grant : facts_.grants) judge_grant(grant);
  judge_regions();
  return found_;
}

// What needs no policy to be said.
std::vector<Finding> judge_surroundings(const KeyFacts& facts) {
  std::vector<Finding> out;
  if (!facts.grants_unknown.empty())
    out.push_back({Severity::warning, "grants-unknown", "",
                   fmt::format("grants could not be listed: {}", facts.grants_unknown),
                   "ask for kms:ListGrants on this key"});
  if (!facts.key.origin.empty() && facts.key.origin != "AWS_KMS")
    out.push_back({Severity::note, "key-material-elsewhere", "",
                   fmt::format("the key's material was not made by KMS ({}): whoever has it needs no policy",
                               facts.key.origin),
                   ""});
  return out;
}

std::string account_of(const kms::KeyMetadata& key) {
  return key.account.empty() ? iam::subject_named(key.arn).account : key.account;
}

}  // namespace

KeyJudgement judge_key(const KeyFacts& facts) {
  KeyJudgement out;
  out.findings = judge_surroundings(facts);
  KeyView view{facts.key.arn, account_of(facts.key), {}, {}, facts.now};
  auto policy = iam::Policy::parse(facts.policy, iam::PolicyKind::kept_key);
  out.judged = policy.has_value();
  if (policy) {
    view.policy = *std::move(policy);
    view.accounts = iam::named_accounts(view.policy);
    out.openings = find_openings(view, facts.now);
  } else {
    out.findings.push_back({Severity::warning, "unparsable", "",
                            fmt::format("the policy cannot be judged: {}", policy.error().message()),
                            "read it yourself: `cloister key show --json`"});
  }
  Judge judge(facts, view);
  std::ranges::move(out.judged ? judge.judge() : judge.judge_beside_policy(),
                    std::back_inserter(out.findings));
  std::ranges::stable_sort(out.findings, std::greater(), &Finding::severity);
  return out;
}

}  // namespace cloister::host
