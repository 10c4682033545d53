#include <algorithm>
#include <charconv>

#include "kms/json_object.h"
#include "kms/sources.h"

namespace cloister::kms {

namespace {

constexpr std::string_view kTokenPath = "/latest/api/token";
constexpr std::string_view kRolePath = "/latest/meta-data/iam/security-credentials/";
constexpr std::string_view kTokenSeconds = "21600";  // the longest there is
constexpr std::size_t kMaxToken = 1024;              // bytes
constexpr std::size_t kMaxRole = 64;                 // bytes, as IAM has it
constexpr unsigned kUsualTimeout = 1;                // seconds of one question, as the AWS CLI has it
constexpr unsigned kMaxTimeout = 60;
constexpr unsigned kMaxAttempts = 10;
constexpr const char* kHopHint =
    "if this runs in a container, raise the hop limit: aws ec2 modify-instance-metadata-options "
    "--instance-id "
    "ID --http-put-response-hop-limit 2";
constexpr const char* kOldHint =
    "every EC2 instance has IMDSv2; for what stands in its place, CLOISTER_ALLOW_IMDSV1=true asks without a "
    "token";

bool is_visible(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

class InstanceSource final : public CredentialSource {
 public:
  explicit InstanceSource(const Surroundings& surroundings) : around_(surroundings) {}
  std::string name() const override { return "the EC2 instance"; }

  Result<Credentials> load() override {
    if (is_true(around_.environment, "AWS_EC2_METADATA_DISABLED"))
      return fail(ErrorKind::not_found, "AWS_EC2_METADATA_DISABLED is set");
    service_ = TRY(find_service());
    timeout_ = TRY(number("AWS_METADATA_SERVICE_TIMEOUT", kUsualTimeout, kMaxTimeout));
    attempts_ = TRY(number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", 1, kMaxAttempts));
    TRY(session());
    auto role = TRY(get(kRolePath));
    // One line; where there are several, the first.
    std::string first(std::string_view(role).substr(0, role.find('\n')));
    bool sound = is_visible(first, kMaxRole) && first.find_first_of("/?#") == std::string::npos;
    if (!sound) return fail(ErrorKind::corrupt, "the role's name is malformed");
    auto document = TRY(get(fmt::format("{}{}", kRolePath, first)));
    auto out = parse(document).context(first);
    wipe(document);
    return out;
  }

 private:
  Result<unsigned> number(std::string_view variable, unsigned absent, unsigned max) const {
    auto text = around_.environment(variable).value_or("");
    if (text.empty()) return absent;
    unsigned value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > max)
      return fail(ErrorKind::invalid, "{} is not a number from 1 to {}", variable, max);
    return value;
  }

  Result<ServiceUrl> find_service() const {
    auto named = around_.environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("");
    if (!named.empty()) return ServiceUrl::parse(named).context("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    auto mode = around_.environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").value_or("");
    bool six = mode == "IPv6" || mode == "ipv6";
    return ServiceUrl{.tls = false, .host = six ? "fd00:ec2::254" : "169.254.169.254", .port = 80};
  }

  // A question over a connection of its own. `reached`: somebody took the connection.
  Result<http::Response> once(http::Request request, bool& reached) const {
    auto deadline = sys::Deadline::after(sys::seconds(timeout_));
    auto stream = TRY(around_.dial(service_, deadline));
    reached = true;
    if (!token_.empty()) request.fields.set("X-aws-ec2-metadata-token", as_text(token_.view()));
    return ask(std::move(stream), service_, std::move(request), deadline);
  }
  Result<http::Response> question(const http::Request& request, bool& reached) const {
    for (unsigned made = 1;; ++made) {
      auto answer = once(request, reached);
      bool passing = answer ? answer->status / 100 == 5 : answer.error().kind() == ErrorKind::unavailable;
      if (!passing || made >= attempts_) return answer;
    }
  }

  // The token without which nothing is asked. Who is not on an instance has no route, or nobody answers.
  Status session() {
    http::Request request{.method = "PUT", .target = std::string(kTokenPath)};
    request.fields.set("X-aws-ec2-metadata-token-ttl-seconds", kTokenSeconds);
    bool reached = false;
    auto answer = question(request, reached);
    if (!answer && !reached) return fail(ErrorKind::not_found, "this is none: {}", answer.error().message());
    if (!answer) {
      return std::unexpected(
          std::move(answer).error().context("a session token (IMDSv2)").with_hint(kHopHint));
    }
    if (answer->status == 200 && is_visible(answer->body, kMaxToken)) {
      token_ = Secret(as_bytes(answer->body));
      wipe(answer->body);
      return {};
    }
    bool old = answer->status == 404 || answer->status == 405 || answer->status == 403;
    if (old && is_true(around_.environment, "CLOISTER_ALLOW_IMDSV1") &&
        !is_true(around_.environment, "AWS_EC2_METADATA_V1_DISABLED"))
      return {};
    Error error(ErrorKind::denied, fmt::format("{} gives no session token (IMDSv2): it answered {}",
                                               host_field(service_), answer->status));
    return std::unexpected(std::move(error).with_hint(kOldHint));
  }

  Result<std::string> get(std::string_view path) const {
    bool reached = false;
    auto answer = TRY(question({.target = std::string(path)}, reached));
    if (answer.status == 404) return fail(ErrorKind::not_found, "it has no role");
    if (answer.status != 200) {
      return fail(answer.status / 100 == 5 ? ErrorKind::unavailable : ErrorKind::denied, "{} answered {}",
                  host_field(service_), answer.status);
    }
    return std::move(answer.body);
  }

  // Code says how it went, in a document that is an answer of 200 all the same.
  static Result<Credentials> parse(std::string_view text) {
    auto object = TRY(ObjectReader::parse(text, ErrorKind::corrupt));
    auto code = TRY(object.text_or("Code", {1, 128}, "Success"));
    if (code != "Success")
      return object.refuse("the instance's role gives no credentials: Code is not Success");
    return parse_document(text, {});
  }

  Surroundings around_;
  ServiceUrl service_;
  unsigned timeout_ = kUsualTimeout;  // seconds
  unsigned attempts_ = 1;
  Secret token_;
};

}  // namespace

std::unique_ptr<CredentialSource> from_instance(const Surroundings& surroundings) {
  return std::make_unique<InstanceSource>(surroundings);
}

}  // namespace cloister::kms
