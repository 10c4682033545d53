#include "cli/context.h"

#include "kms/endpoint.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

constexpr std::size_t kMaxBundle = 4 * 1024 * 1024;  // bytes
constexpr const char* kReachHint =
    "is it running? AWS_ENDPOINT_URL_KMS names it, AWS_REGION where that is not set";
constexpr const char* kSystemBundle = "/etc/ssl/certs/ca-certificates.crt";

std::string value_or(const host::Environment& environment, std::string_view name,
                     const std::string& otherwise) {
  auto value = environment(name);
  return value && !value->empty() ? *value : otherwise;
}

kms::Connector connector(bool tls, std::vector<crypto::Certificate> trusted) {
  return [tls, trusted = std::move(trusted)](const std::string& host, unsigned port,
                                             sys::Deadline deadline) -> Result<std::unique_ptr<sys::Stream>> {
    sys::Endpoint endpoint{.kind = sys::Endpoint::Kind::tcp, .host = host};
    endpoint.port = port;
    auto stream = std::make_unique<sys::FdStream>(
        TRY(sys::connect(endpoint, deadline).context("no connection").with_hint(kReachHint)));
    stream->set_deadline(deadline);
    if (!tls) return std::unique_ptr<sys::Stream>(std::move(stream));
    return std::unique_ptr<sys::Stream>(TRY(crypto::web_connect(std::move(stream), host, trusted)));
  };
}

// The endpoint that the person names, else AWS's own in the region. AWS's tools refuse both at once, too.
Result<kms::ServiceUrl> kms_service(const host::Environment& environment, const std::string& region) {
  auto variant = TRY(kms::find_endpoint_variant(environment));
  auto named = value_or(environment, "AWS_ENDPOINT_URL_KMS", "");
  if (named.empty()) return kms::ServiceUrl{.host = kms::aws_endpoint_host(region, variant)};
  if (variant != kms::EndpointVariant{}) {
    Error error(ErrorKind::invalid,
                fmt::format("AWS_ENDPOINT_URL_KMS is set, and a {} endpoint wanted", to_string(variant)));
    return std::unexpected(
        std::move(error).with_hint("unset it, or AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT"));
  }
  return kms::ServiceUrl::parse(named);
}

}  // namespace

bool Context::embedded_kms() const {
  return !value_or(environment, "AWS_ENDPOINT_URL_KMS", "").empty();
}

Result<kms::Client> Context::kms_client(const std::string& region) const {
  auto bundle = TRY(sys::read_file(value_or(environment, "AWS_CA_BUNDLE", kSystemBundle), kMaxBundle)
                        .context("certificate authorities"));
  auto trusted = TRY(crypto::Certificate::list_from_pem(bundle).context("certificate authorities"));
  auto service = TRY(kms_service(environment, region));
  auto chain = kms::default_chain(surroundings());
  kms::ClientConfig config{
      .connect = connector(service.tls, std::move(trusted)),
      .host = service.host,
      .port = service.port,
      .region = region,
      .on_notice = [](const std::string& text) { fmt::print(stderr, "cloister: {}\n", text); }};
  auto credentials = TRY(chain.load());
  return kms::Client(std::move(config), std::move(credentials), clock);
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): what std::function holds, moved and owned

// A root that a file names may vouch for simulated measurements, which nobody mistakes for real ones, and for
// a machine that you yourself have started under QEMU: that one has a real image's measurements, so somebody
// else's word for it is not enough.
Result<crypto::Certificate> Context::trusted_root(const host::EnclaveRecord& enclave,
                                                  const host::Expectation& expected) {
  if (enclave.backend == "nitro") return attestation::aws_nitro_root();  // whatever is expected of it
  if (expected.measurements.simulated()) return expected.root;
  if (enclave.backend != "qemu") return attestation::aws_nitro_root();
  if (enclave.own) return expected.root;
  Error error(ErrorKind::denied, fmt::format("enclave '{}' is emulated, and was started by somebody else: "
                                             "whoever did can read all of it",
                                             enclave.name));
  return std::unexpected(
      std::move(error).with_hint("to try an image, start your own: cloister up --backend qemu"));
}

Result<host::Session> Context::open_session(const host::EnclaveRecord& enclave,
                                            const std::string& image) const {
  auto expected = TRY(enclave.expectation());
  if (!image.empty()) {
    auto text = TRY(sys::read_file(image, attestation::kMaxMeasurementsFile));
    expected.measurements = TRY(attestation::Measurements::from_json(as_text(text)).context(image));
  }
  expected.root = TRY(trusted_root(enclave, expected));
  auto identity = TRY(host::load_or_create_client_key(paths.client_key()));
  return host::Session::open(enclave.control, identity, expected, clock);
}

}  // namespace cloister::cli
