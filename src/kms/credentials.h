// AWS credentials, and where the host finds them: the places where AWS's own tools look, in their order. The
// enclave has no source of its own: its credentials come with a job.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "sys/clock.h"

namespace cloister::kms {

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  std::optional<Secret> session_token;                    // with temporary ones
  std::optional<sys::UnixMillis> expires = std::nullopt;  // where the source says when

  Credentials copy() const;
};

// Looks an environment variable up; a seam, so that tests have an environment of their own.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();
// Set, and "true" in any case of letters: the way of AWS's own variables.
bool is_true(const Environment& environment, std::string_view name);

class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  virtual std::string name() const = 0;  // as messages call it
  // not_found: there are none here, ask elsewhere. Anything else ends the search: what is there is unusable.
  virtual Result<Credentials> load() = 0;
};

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CREDENTIAL_EXPIRATION.
std::unique_ptr<CredentialSource> from_environment(Environment environment);
// The keys of the profile AWS_PROFILE (or "default") of ~/.aws/credentials and ~/.aws/config, or of the files
// that AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name. `profile`: another one.
std::unique_ptr<CredentialSource> from_shared_files(Environment environment, std::string profile = "");

// Sources in order; the first that has credentials wins.
class CredentialChain final : public CredentialSource {
 public:
  // The clock, if given, outlives the chain: what has expired by it is refused.
  explicit CredentialChain(const sys::Clock* clock = nullptr) : clock_(clock) {}
  void add(std::unique_ptr<CredentialSource> source) { sources_.push_back(std::move(source)); }
  std::string name() const override;
  // not_found names every source that was asked.
  Result<Credentials> load() override;
  // The one that the last load() ended with, usable or not; empty: none had any.
  const std::string& found() const { return found_; }

 private:
  const sys::Clock* clock_;
  std::string found_;
  std::vector<std::unique_ptr<CredentialSource>> sources_;
};

// AWS_REGION, AWS_DEFAULT_REGION, then `region` of the profile in the configuration file. not_found, with a
// hint.
Result<std::string> find_region(const Environment& environment);

}  // namespace cloister::kms
