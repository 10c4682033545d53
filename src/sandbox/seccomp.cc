#include "sandbox/seccomp.h"

#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "sandbox/seccomp_policy.h"

namespace cloister::sandbox {

namespace {

using Filter = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

constexpr std::uint32_t kBinaryTree = 2;  // SCMP_FLTATR_CTL_OPTIMIZE

// libseccomp answers negative errno values.
Status check(int result, std::string_view what) {
  if (result < 0) return fail_errno(-result, what);
  return {};
}

Result<Filter> make_filter(std::uint32_t default_action) {
  Filter filter(::seccomp_init(default_action), ::seccomp_release);
  if (!filter) return fail(ErrorKind::exhausted, "no memory for a seccomp filter");
  // Other architectures, x32 among them, have other numbers for the same calls.
  TRY(check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
            "seccomp architecture"));
  TRY(check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0), "seccomp no_new_privs"));
  TRY(check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree), "seccomp optimize"));
  return filter;
}

Status add_rule(const Filter& filter, std::uint32_t action, const char* name,
                const std::optional<Condition>& condition) {
  int number = ::seccomp_syscall_resolve_name(name);
  if (number < 0) return {};  // not a call of this architecture
  if (!condition) return check(::seccomp_rule_add_array(filter.get(), action, number, 0, nullptr), name);
  scmp_arg_cmp comparison{condition->argument, SCMP_CMP_MASKED_EQ, condition->mask, condition->value};
  return check(::seccomp_rule_add_array(filter.get(), action, number, 1, &comparison), name);
}

Status refuse_families(const Filter& filter, std::span<const int> families) {
  for (int family = 0; family <= kMaxFamily; ++family) {
    if (std::find(families.begin(), families.end(), family) != families.end()) continue;
    Condition is_family{.argument = 0, .mask = 0xffffffff, .value = static_cast<std::uint64_t>(family)};
    TRY(add_rule(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", is_family));
    TRY(add_rule(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socketpair", is_family));
  }
  return {};
}

// The policy is two filters, of which the kernel takes the stricter answer: libseccomp has no "else" within
// one call. This one refuses uses, and lets everything else through to the other.
Result<Filter> refusals(const Policy& policy) {
  auto filter = TRY(make_filter(SCMP_ACT_ALLOW));
  for (auto table : policy.refused) {
    for (const auto& use : table) TRY(add_rule(filter, SCMP_ACT_ERRNO(use.error), use.name, use.condition));
  }
  TRY(refuse_families(filter, policy.families));
  return filter;
}

// This one names what is allowed.
Result<Filter> allowances(const Policy& policy) {
  auto filter = TRY(make_filter(SCMP_ACT_ERRNO(ENOSYS)));
  for (auto table : policy.allowed) {
    for (const char* name : table) TRY(add_rule(filter, SCMP_ACT_ALLOW, name, {}));
  }
  for (auto table : policy.allowed_uses) {
    for (const auto& use : table) TRY(add_rule(filter, SCMP_ACT_ALLOW, use.name, use.condition));
  }
  for (const char* name : policy.hostile) TRY(add_rule(filter, SCMP_ACT_KILL_PROCESS, name, {}));
  auto forbidden = policy.forbidden_kills ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM);
  for (const char* name : policy.forbidden) TRY(add_rule(filter, forbidden, name, {}));
  return filter;
}

Status load(const Filter& filter, std::string_view what) {
  int result = ::seccomp_load(filter.get());
  if (result == -ENOSYS || result == -EOPNOTSUPP)
    return fail(ErrorKind::unavailable, "kernel without seccomp filters");
  return check(result, what);
}

}  // namespace

std::string_view to_string(Profile profile) {
  switch (profile) {
    case Profile::job:
      return "job";
    case Profile::unpacker:
      return "unpacker";
    case Profile::share_server:
      return "share_server";
    case Profile::listener:
      return "listener";
    case Profile::keeper:
      return "keeper";
    case Profile::module:
      return "module";
  }
  return "unknown";
}

Status load_seccomp(Profile profile) {
  const Policy& policy = policy_of(profile);
  auto refuse = TRY(refusals(policy));
  auto allow = TRY(allowances(policy));
  // In this order: the second forbids loading a third.
  TRY(load(refuse, "load the seccomp refusals"));
  return load(allow, "load the seccomp allow-list");
}

}  // namespace cloister::sandbox
