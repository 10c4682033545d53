// Credentials as `run` would find them, the instance's metadata, and what KMS answers. Short questions: who
// waits for doctor wants to know what is wrong, and not to wait as long as `run` would.
#include <fcntl.h>

#include "doctor/gather.h"
#include "host/allow_list.h"
#include "http/client.h"
#include "kms/client.h"
#include "kms/sources.h"
#include "kms/times.h"
#include "package/start.h"

namespace cloister::doctor {

namespace {

constexpr sys::UnixMillis kPerSecond = 1000;
constexpr std::size_t kMaxRole = 64;  // bytes, as IAM has it

bool is_set(const host::Environment& environment, std::string_view name) {
  return !environment(name).value_or("").empty();
}

kms::CredentialChain chain_of(const Edges& edges, const kms::Surroundings& around) {
  if (!edges.offline) return kms::default_chain(around);
  kms::CredentialChain out(&edges.clock);
  out.add(kms::from_environment(edges.environment));
  out.add(kms::from_shared_files(edges.environment));
  return out;
}

Credentials describe(kms::CredentialChain& chain, const Result<kms::Credentials>& loaded,
                     const sys::Clock& clock) {
  Credentials out{.source = chain.found()};
  if (!loaded) {
    out.error = loaded.error().message();
    out.hint = loaded.error().hint();
  } else if (auto expires = loaded->expires) {
    out.seconds_left = (*expires - clock.now()) / kPerSecond;
  }
  return out;
}

// --- the instance's metadata ---

Result<kms::ServiceUrl> metadata_service(const host::Environment& environment) {
  auto named = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("");
  if (!named.empty()) return kms::ServiceUrl::parse(named);
  auto mode = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").value_or("");
  bool six = mode == "IPv6" || mode == "ipv6";
  return kms::ServiceUrl{.tls = false, .host = six ? "fd00:ec2::254" : "169.254.169.254", .port = 80};
}

// nullopt: no answer came. `reached`: somebody took the connection.
std::optional<http::Response> question(const Edges& edges, const kms::ServiceUrl& service,
                                       http::Request request, bool& reached) {
  auto deadline = sys::Deadline::after(kMetadataTimeout);
  auto stream = edges.dial(service, deadline);
  if (!stream) return std::nullopt;
  reached = true;
  auto answer = kms::ask(std::move(*stream), service, std::move(request), deadline);
  return answer ? std::optional(std::move(*answer)) : std::nullopt;
}

std::optional<Metadata> ask_metadata(const Edges& edges, bool on_ec2) {
  bool named = is_set(edges.environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (edges.offline || kms::is_true(edges.environment, "AWS_EC2_METADATA_DISABLED") || (!on_ec2 && !named))
    return std::nullopt;
  auto service = metadata_service(edges.environment);
  if (!service) return std::nullopt;
  Metadata out{.reached = false, .token_status = 0, .without_token = false, .role = std::nullopt};
  http::Request token{.method = "PUT", .target = "/latest/api/token"};
  token.fields.set("X-aws-ec2-metadata-token-ttl-seconds", "60");
  auto given = question(edges, *service, std::move(token), out.reached);
  if (given) out.token_status = given->status;
  if (!given || given->status != 200) return out;
  constexpr const char* kRoles = "/latest/meta-data/iam/security-credentials/";
  auto open = question(edges, *service, {.target = "/latest/meta-data/"}, out.reached);
  out.without_token = open && open->status == 200;
  http::Request roles{.target = kRoles};
  roles.fields.set("X-aws-ec2-metadata-token", given->body);
  auto role = question(edges, *service, std::move(roles), out.reached);
  wipe(given->body);
  if (role && role->status == 200 && role->body.size() <= kMaxRole)
    out.role = role->body.substr(0, role->body.find('\n'));
  return out;
}

// --- KMS ---

Result<kms::ServiceUrl> kms_service(const Edges& edges, const std::string& region) {
  auto named = edges.environment("AWS_ENDPOINT_URL_KMS").value_or("");
  if (!named.empty()) return kms::ServiceUrl::parse(named).context("AWS_ENDPOINT_URL_KMS");
  auto variant = TRY(kms::find_endpoint_variant(edges.environment));
  return kms::ServiceUrl{.host = kms::aws_endpoint_host(region, variant)};
}

// Any question will do: whoever is not signed for is refused, with the time.
Result<http::Response> unsigned_question(const Edges& edges, const kms::ServiceUrl& service) {
  auto deadline = sys::Deadline::after(kKmsTimeout);
  auto stream = TRY(edges.dial(service, deadline));
  http::Request request{.method = "POST", .body = "{}"};
  request.fields.set("Content-Type", kms::kContentType);
  request.fields.set("X-Amz-Target", fmt::format("{}ListKeys", kms::kTargetPrefix));
  return kms::ask(std::move(stream), service, std::move(request), deadline);
}

void ask_clock(const Edges& edges, const kms::ServiceUrl& service, Kms& out) {
  auto before = edges.clock.now();
  auto answer = unsigned_question(edges, service);
  if (!answer) {
    out.error = answer.error().message();
    return;
  }
  auto theirs = kms::parse_http_date(answer->fields.get("Date"));
  if (theirs) out.ahead_seconds = (before + (edges.clock.now() - before) / 2 - *theirs) / kPerSecond;
}

// The request of the enclave, without an enclave, and not to be carried out.
void ask_right(const Edges& edges, const std::string& path, const kms::ServiceUrl& service,
               kms::Credentials credentials, Kms& out) {
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  auto start = package::read_start(file.get());
  if (!start || start->header.wrapped_keys.empty()) return;
  auto key = kms::KeyArn::parse(start->header.key_arn);
  if (!key) return;
  kms::ClientConfig config{.connect = [&](const std::string&, unsigned,
                                          sys::Deadline until) { return edges.dial(service, until); },
                           .host = service.host,
                           .port = service.port,
                           .region = key->region,
                           .sleep = {},
                           .on_notice = {}};
  kms::Client client(std::move(config), std::move(credentials), edges.clock);
  auto answer = client.dry_run_decrypt({.key_id = start->header.key_arn,
                                        .ciphertext = start->header.wrapped_keys.front(),
                                        .context = start->header.encryption_context()},
                                       sys::Deadline::after(kKmsTimeout));
  if (!answer) return;
  out.key_account = key->account;
  out.dry_run = answer->type;
  out.dry_run_message = answer->message;
}

std::optional<Kms> ask_kms(const Edges& edges, const Facts& facts, const std::string& region,
                           Result<kms::Credentials> credentials) {
  bool embedded = is_set(edges.environment, "AWS_ENDPOINT_URL_KMS");
  if (region.empty() && !embedded) return std::nullopt;
  auto service = kms_service(edges, region);
  Kms out{.host = service ? service->host : "KMS",
          .embedded = embedded,
          .authority_set = is_set(edges.environment, "AWS_CA_BUNDLE")};
  if (!service) {
    out.error = service.error().message();
    return out;
  }
  // Without its authority TLS fails, which says less.
  if (embedded && service->tls && !out.authority_set) return out;
  ask_clock(edges, *service, out);
  bool ask = out.error.empty() && credentials && facts.package && facts.package->error.empty();
  if (ask) ask_right(edges, facts.asked.package, *service, std::move(*credentials), out);
  return out;
}

// By which names an enclave may ask for the key: those that `proxy -s kms` would let through in its region.
std::vector<std::string> names_of_kms(const Edges& edges, const std::string& region) {
  if (region.empty()) return {};
  auto there = [&](std::string_view name) -> std::optional<std::string> {
    return name == "AWS_REGION" ? std::optional(region) : edges.environment(name);
  };
  std::vector<std::string> out;
  auto routes = host::service_routes("kms", there);
  if (!routes) return out;
  for (const auto& route : *routes) out.push_back(fmt::format("{}:{}", route.host, route.port));
  return out;
}

}  // namespace

void gather_aws(const Edges& edges, Facts& facts) {
  auto region = kms::find_region(edges.environment);
  if (region) facts.region = *region;
  if (!region) facts.region_error = region.error().message();
  kms::Surroundings around{edges.environment, edges.dial, edges.clock};
  auto chain = chain_of(edges, around);
  auto loaded = chain.load();
  facts.credentials = describe(chain, loaded, edges.clock);
  facts.metadata = ask_metadata(edges, host::read_nitro_host(edges.root).amazon_ec2);
  auto where = facts.package && !facts.package->region.empty() ? facts.package->region : facts.region;
  facts.kms_names = names_of_kms(edges, where);
  if (!edges.offline) facts.kms = ask_kms(edges, facts, where, std::move(loaded));
}

}  // namespace cloister::doctor
