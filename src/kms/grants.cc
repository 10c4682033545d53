#include "kms/grants.h"

#include "kms/json_object.h"

namespace cloister::kms {

namespace {

constexpr Length kGrantId{1, 128};
constexpr Length kGrantName{0, 256};
constexpr Length kPrincipal{1, 256};
constexpr Length kOperation{1, 64};
constexpr Length kMarker{1, 1024};
constexpr std::size_t kMaxOperations = 64;  // KMS has less than twenty
constexpr std::size_t kMaxGrantsOnPage = 1000;

}  // namespace

JsonString ListGrantsResponse::encode() const {
  Json entries = Json::array();
  for (const auto& grant : grants) {
    ObjectWriter entry;
    entry.text("GrantId", grant.id).text_unless_empty("Name", grant.name);
    Json operations = Json::array();
    for (const auto& operation : grant.operations) operations.push_back(JsonString(operation));
    entry.text("GranteePrincipal", grant.grantee).value("Operations", std::move(operations));
    if (grant.constrained) entry.value("Constraints", {{"EncryptionContextSubset", Json::object()}});
    entries.push_back(entry.take());
  }
  ObjectWriter out;
  out.value("Grants", std::move(entries)).value("Truncated", !next_marker.empty());
  return out.text_unless_empty("NextMarker", next_marker).encode();
}

Result<ListGrantsResponse> ListGrantsResponse::parse(std::string_view body) {
  auto in = TRY(ObjectReader::parse(body, ErrorKind::corrupt));
  ListGrantsResponse out;
  auto entries = TRY(in.array("Grants", kMaxGrantsOnPage));
  for (const auto& entry : entries) {
    auto& grant = out.grants.emplace_back();
    grant.id = TRY(entry.text("GrantId", kGrantId));
    grant.name = TRY(entry.text_or("Name", kGrantName, ""));
    const char* grantee = entry.has("GranteePrincipal") ? "GranteePrincipal" : "GranteeServicePrincipal";
    grant.grantee = TRY(entry.text(grantee, kPrincipal));
    grant.operations = TRY(entry.texts("Operations", kOperation, kMaxOperations));
    grant.constrained = entry.has("Constraints");
  }
  auto truncated = TRY(in.boolean_or("Truncated", false));
  if (truncated) out.next_marker = TRY(in.text("NextMarker", kMarker));
  return out;
}

}  // namespace cloister::kms
