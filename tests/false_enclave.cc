// A false enclave for one connection: TLS with a key of its own, and documents that the machine's development
// root vouches for, bound to the connection as they should be, but wrong in one way. Prints every request it
// hears: a line, and the body. Usage:
//   false_enclave SOCKET DEVELOPMENT_ROOT MEASUREMENTS [--age SECONDS] [--debug] [--pcr0 HEX] [--public-key]
//   [--no-binding]
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "attestation/measurements.h"
#include "attestation/nsm.h"
#include "crypto/tls.h"
#include "emulator/development_root.h"
#include "emulator/nsm_emulator.h"
#include "http/server.h"
#include "sys/endpoint.h"
#include "sys/file.h"

namespace {

using namespace cloister;

constexpr std::size_t kMaxFile = 256 * 1024;  // bytes
constexpr std::size_t kPcrSize = 48;

struct Lies {
  sys::UnixMillis age = 0;
  bool debug = false;
  bool public_key = false;
  bool binding = true;
  std::string pcr0;
};

Lies parse_lies(int argc, char** argv) {
  Lies out;
  for (int i = 4; i < argc; ++i) {
    std::string word = argv[i];
    bool more = i + 1 < argc;
    if (word == "--debug") out.debug = true;
    if (word == "--public-key") out.public_key = true;
    if (word == "--no-binding") out.binding = false;
    if (word == "--age" && more) out.age = std::atoll(argv[++i]) * 1000;
    if (word == "--pcr0" && more) out.pcr0 = argv[++i];
  }
  return out;
}

Result<std::map<unsigned, attestation::Pcr>> pcrs_of(const std::string& file, const Lies& lies) {
  auto text = TRY(sys::read_file(file, kMaxFile));
  auto pcrs = TRY(attestation::Measurements::from_json(as_text(text))).pcrs;
  std::map<unsigned, attestation::Pcr> out(pcrs.begin(), pcrs.end());
  if (!lies.pcr0.empty()) out[0] = TRY(from_hex(lies.pcr0));
  if (lies.debug) {
    for (auto& [index, pcr] : out) pcr = attestation::Pcr(kPcrSize);
  }
  return out;
}

Result<http::Answer> attest(const http::Request& request, emulator::EmulatedNsm& module, ByteView user_data,
                            const Lies& lies) {
  attestation::AttestationRequest asked{.user_data = to_bytes(user_data),
                                        .nonce = TRY(from_hex(request.query("nonce")))};
  if (!lies.binding) asked.user_data = Bytes(user_data.size());
  if (lies.public_key) asked.public_key = to_bytes("a key of somebody");
  http::Response response;
  response.body = std::string(as_text(TRY(attestation::Nsm(module).attest(asked))));
  return http::Answer(std::move(response));
}

Status serve(char** argv, const Lies& lies) {
  sys::FixedClock clock(sys::SystemClock().now() - lies.age);
  auto root = TRY(emulator::DevelopmentRoot::load_or_create(argv[2], clock.now()));
  auto module = TRY(emulator::EmulatedNsm::create(root, "i-false-enc0", TRY(pcrs_of(argv[3], lies)), clock));
  auto identity = TRY(crypto::TlsIdentity::generate("false enclave"));
  auto listener = TRY(sys::listen(sys::Endpoint::unix_socket(argv[1])));
  auto transport = std::make_unique<sys::FdStream>(TRY(sys::accept(listener.get())));
  auto stream = TRY(crypto::attested_accept(std::move(transport), identity));
  Bytes bound = to_bytes(std::string_view("cloister/tls/v1"));
  append(bound, identity.key.public_key().spki());
  append(bound, TRY(stream->exporter()));
  auto user_data = crypto::sha256(bound);
  return http::serve_connection(*stream, [&](const http::Request& request) {
    fmt::print("{} {}\n{}", request.method, request.target, request.body);
    std::fflush(stdout);
    if (request.path() != "/v1/attestation")
      return http::Answer(http::error_response(Error(ErrorKind::denied, "a false enclave")));
    auto answer = attest(request, *module, user_data, lies);
    return answer ? *std::move(answer) : http::Answer(http::error_response(answer.error()));
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  auto served = serve(argv, parse_lies(argc, argv));
  if (!served) fmt::print(stderr, "{}\n", served.error().message());
  return served ? 0 : 1;
}
