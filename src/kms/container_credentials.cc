#include <algorithm>
#include <array>

#include "base/log.h"
#include "kms/sources.h"
#include "sys/file.h"

namespace cloister::kms {

namespace {

constexpr sys::milliseconds kContainerTime = sys::seconds(2);  // connecting and the whole answer
constexpr int kContainerAttempts = 3;
constexpr std::size_t kMaxTokenFile = 16 * 1024;  // bytes
constexpr std::string_view kEcsHost = "169.254.170.2";
// Whom credentials may come from in the clear: Amazon ECS's agent, EKS Pod Identity's, this machine.
constexpr std::array<std::string_view, 6> kPlainHosts = {
    kEcsHost, "169.254.170.23", "fd00:ec2::23", "localhost", "::1", "0:0:0:0:0:0:0:1"};

bool is_loopback(std::string_view host) {
  constexpr std::string_view kNet = "127.";
  return host.starts_with(kNet) &&
         std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

Result<Url> checked(std::string_view text) {
  auto url = TRY(Url::parse(text).context("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
  const auto& host = url.service.host;
  if (url.service.tls || is_loopback(host) || std::ranges::find(kPlainHosts, host) != kPlainHosts.end())
    return url;
  Error error(ErrorKind::denied,
              fmt::format("AWS_CONTAINER_CREDENTIALS_FULL_URI: credentials are not asked in the "
                          "clear from {}",
                          escape_controls(host)));
  return std::unexpected(std::move(error).with_hint(
      "https, or a host of the platform's: 169.254.170.2, 169.254.170.23, [fd00:ec2::23], this machine"));
}

class ContainerSource final : public CredentialSource {
 public:
  explicit ContainerSource(const Surroundings& surroundings) : around_(surroundings) {}
  std::string name() const override { return "the container"; }

  Result<Credentials> load() override {
    auto url = TRY(find_url());
    auto token = TRY(find_token());
    for (int made = 1;; ++made) {
      auto answer = get(url, as_text(token.view()));
      if (answer && answer->status == 200) {
        auto out = parse_document(answer->body, {});
        wipe(answer->body);
        return out;
      }
      bool passing = answer ? answer->status / 100 == 5 : answer.error().kind() == ErrorKind::unavailable;
      if (passing && made < kContainerAttempts) continue;
      return answer ? fail(answer->status / 100 == 5 ? ErrorKind::unavailable : ErrorKind::denied,
                           "{} answered {}", host_field(url.service), answer->status)
                    : std::unexpected(std::move(answer).error().context(host_field(url.service)));
    }
  }

 private:
  std::string variable(std::string_view name) const { return around_.environment(name).value_or(""); }

  Result<Url> find_url() const {
    if (auto relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"); !relative.empty()) {
      if (relative.front() != '/')
        return fail(ErrorKind::invalid, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /");
      return Url::parse(fmt::format("http://{}{}", kEcsHost, relative));
    }
    auto full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (full.empty()) return fail(ErrorKind::not_found, "this is none");
    return checked(full);
  }

  // The file wins: its content changes in the course of time.
  Result<Secret> find_token() const {
    Secret token;
    if (auto file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !file.empty()) {
      token =
          Secret(TRY(sys::read_file(file, kMaxTokenFile).context("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")));
    } else {
      auto text = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
      token = Secret(as_bytes(text));
      wipe(text);
    }
    bool sound = std::ranges::all_of(token.view(), [](auto byte) { return byte >= ' ' && byte < 0x7f; });
    if (!sound) return fail(ErrorKind::invalid, "the authorization token is not one line of text");
    return token;
  }

  Result<http::Response> get(const Url& url, std::string_view token) const {
    auto deadline = sys::Deadline::after(kContainerTime);
    auto stream = TRY(around_.dial(url.service, deadline));
    http::Request request{.target = url.target};
    request.fields.set("Accept", "application/json");
    if (!token.empty()) request.fields.set("Authorization", token);
    return ask(std::move(stream), url.service, std::move(request), deadline);
  }

  Surroundings around_;
};

}  // namespace

std::unique_ptr<CredentialSource> from_container(const Surroundings& surroundings) {
  return std::make_unique<ContainerSource>(surroundings);
}

}  // namespace cloister::kms
