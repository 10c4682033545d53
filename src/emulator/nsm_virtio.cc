#include "emulator/nsm_virtio.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "emulator/development_root.h"
#include "emulator/nsm_emulator.h"
#include "emulator/vhost_user.h"
#include "sys/endpoint.h"

namespace cloister::emulator {

Result<Bytes> NsmVirtio::answer_to(const Chain& request) {
  Bytes bytes;
  for (const auto& part : request.from_driver) {
    if (part.size() > attestation::kMaxNsmRequest - bytes.size())
      return fail(ErrorKind::invalid, "a request of more than {} bytes", attestation::kMaxNsmRequest);
    append(bytes, part);
  }
  return module_.exchange(bytes);
}

Status NsmVirtio::deliver(ByteView answer, const Chain& room, std::uint32_t& written) {
  for (const auto& part : room.to_driver) {
    auto count = std::min(part.size(), answer.size());
    std::copy_n(answer.begin(), count, part.begin());
    answer = answer.subspan(count);
    written += static_cast<std::uint32_t>(count);
  }
  if (!answer.empty()) return fail(ErrorKind::invalid, "no room for an answer");
  return {};
}

Result<bool> NsmVirtio::serve(Virtqueue& queue) {
  bool gave = false;
  while (auto chain = TRY(queue.take())) {
    if (!chain->from_driver.empty()) answer_ = TRY(answer_to(*chain));
    std::uint32_t written = 0;
    if (!chain->to_driver.empty()) {
      if (!answer_) return fail(ErrorKind::invalid, "room for an answer before a question");
      TRY(deliver(*answer_, *chain, written));
      answer_.reset();
    }
    TRY(queue.give_back(chain->head, written));
    gave = true;
  }
  return gave;
}

namespace {

struct ProgramOptions {
  std::string socket;
  std::string development_root;
  std::string module_id;
  std::map<unsigned, attestation::Pcr> pcrs;
};

Status add_pcr(ProgramOptions& options, std::string_view text) {
  auto equals = text.find('=');
  unsigned index = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + std::min(equals, text.size()), index);
  if (equals == std::string_view::npos || error != std::errc() || end != text.data() + equals)
    return fail(ErrorKind::invalid, "--pcr takes N=HEX, not '{}'", text);
  options.pcrs[index] = TRY(from_hex(text.substr(equals + 1)).context("--pcr"));
  return {};
}

Result<ProgramOptions> parse_options(int argc, char** argv) {
  ProgramOptions out;
  for (int i = 1; i < argc; i += 2) {
    std::string_view name = argv[i];
    if (i + 1 == argc) return fail(ErrorKind::invalid, "{} needs a value", name);
    if (name == "--socket") {
      out.socket = argv[i + 1];
    } else if (name == "--development-root") {
      out.development_root = argv[i + 1];
    } else if (name == "--module-id") {
      out.module_id = argv[i + 1];
    } else if (name == "--pcr") {
      TRY(add_pcr(out, argv[i + 1]));
    } else {
      return fail(ErrorKind::invalid, "unknown option {} (cloister up starts this program)", name);
    }
  }
  if (out.socket.empty() || out.development_root.empty() || out.module_id.empty())
    return fail(ErrorKind::invalid, "--socket, --development-root and --module-id are required");
  return out;
}

Status serve_machine(const ProgramOptions& options) {
  sys::SystemClock clock;
  auto root = TRY(DevelopmentRoot::load_or_create(options.development_root, clock.now()));
  auto module = TRY(EmulatedNsm::create(root, options.module_id, options.pcrs, clock));
  auto listener = TRY(sys::listen(sys::Endpoint::unix_socket(options.socket)));
  auto machine = TRY(sys::accept(listener.get()));
  NsmVirtio device(*module);
  return serve_vhost_user(std::move(machine), [&](Virtqueue& queue) { return device.serve(queue); });
}

}  // namespace

int run_nsm_program(int argc, char** argv) {
  Log log(STDERR_FILENO, "cloister-nsm");
  auto options = parse_options(argc, argv);
  if (!options) {
    log.error("{}", options.error().message());
    return 2;
  }
  auto served = serve_machine(*options);
  if (!served) log.error("{}", served.error().message());
  return served ? 0 : 1;
}

}  // namespace cloister::emulator
