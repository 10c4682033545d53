#include "emulator/api.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "emulator/authenticate.h"
#include "emulator/call.h"
#include "emulator/request_context.h"
#include "emulator/uuid.h"
#include "http/json.h"
#include "kms/times.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr std::string_view kService = "kms";
constexpr std::string_view kTargetPrefix = "TrentService.";

http::Response respond(int status, std::string body) {
  http::Response out;
  out.status = status;
  out.fields.set("x-amzn-RequestId", random_uuid());
  out.fields.set("Content-Type", kJsonContentType);
  out.fields.set("Cache-Control", "no-cache, no-store, must-revalidate, private");
  out.body = std::move(body);
  return out;
}

http::Response respond(const Fault& fault) {
  json body{{"__type", fault.type}};
  if (!fault.message.empty()) body["message"] = fault.message;
  // Messages may quote what the request said, valid UTF-8 or not.
  return respond(fault.status, std::string(http::format_json(body)));
}

// What AWS KMS has and this service does not: said by name. Whatever is not even there is unknown.
constexpr std::string_view kUnsupported[] = {
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "CreateGrant",
    "Decapsulate",
    "Encapsulate",
    "DeleteCustomKeyStore",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "GetKeyLastUsage",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListGrants",
    "ListRetirableGrants",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "Sign",
    "UpdateCustomKeyStore",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
};

Outcome<Operation> find_operation(const http::Request& request) {
  auto target = request.fields.get("X-Amz-Target");
  if (request.method != "POST" || request.path() != "/" || !target.starts_with(kTargetPrefix)) {
    return fault("UnknownOperationException", "");
  }
  auto name = target.substr(kTargetPrefix.size());
  for (auto table : {alias_operations(), cipher_operations(), key_operations(), lifecycle_operations(),
                     policy_operations(), tag_operations()}) {
    for (const auto& entry : table) {
      if (entry.name == name) return entry.run;
    }
  }
  if (std::ranges::find(kUnsupported, name) == std::end(kUnsupported)) {
    return fault("UnknownOperationException", "");
  }
  return fault("UnsupportedOperationException", "{} is not supported by this service", name);
}

Outcome<std::string> carry_out(Store& store, const TrustedRoots& roots, const http::Request& request,
                               const Peer& peer, sys::UnixMillis now) {
  auto caller = TRY(authenticate(store, request, kService, now));
  auto operation = TRY(find_operation(request));
  auto parameters = TRY(Parameters::parse(request.body));
  TRY(store.maintain(now));
  auto context = common_context(caller, peer, request, store.settings(), now);
  Call call{store, roots, std::move(caller), std::move(parameters), std::move(context), now};
  auto answer = TRY(operation(call));
  // As AWS: operations without a result answer an empty body.
  return answer.is_null() ? std::string() : std::string(http::format_json(answer));
}

}  // namespace

http::Response Api::handle(const http::Request& request, const Peer& peer, sys::UnixMillis now) const {
  auto response = [&] {
    try {
      auto body = carry_out(store_, roots_, request, peer, now);
      return body ? respond(200, *std::move(body)) : respond(body.error());
    } catch (const std::exception&) {
      return respond(Fault(Error(ErrorKind::internal, "exception")));
    }
  }();
  // Clients with a wrong clock correct their signatures by it.
  response.fields.set("Date", kms::format_http_date(now));
  return response;
}

}  // namespace cloister::emulator
