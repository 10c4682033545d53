// AWS credentials, and where the host finds them. The enclave has no source of its own: its credentials come
// with a job.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace cloister::kms {

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  std::optional<Secret> session_token;  // with temporary ones

  Credentials copy() const;
};

// Looks an environment variable up; a seam, so that tests have an environment of their own.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();

class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  virtual std::string name() const = 0;  // as messages call it
  // not_found: there are none here, ask elsewhere. Anything else ends the search: what is there is unusable.
  virtual Result<Credentials> load() = 0;
};

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
std::unique_ptr<CredentialSource> from_environment(Environment environment);
// The profile AWS_PROFILE (or "default") of ~/.aws/credentials and ~/.aws/config, or of the files that
// AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name.
std::unique_ptr<CredentialSource> from_shared_files(Environment environment);

// Sources in order; the first that has credentials wins.
class CredentialChain final : public CredentialSource {
 public:
  void add(std::unique_ptr<CredentialSource> source) { sources_.push_back(std::move(source)); }
  std::string name() const override;
  // not_found names every source that was asked.
  Result<Credentials> load() override;

 private:
  std::vector<std::unique_ptr<CredentialSource>> sources_;
};

// What the AWS tools look at first: environment, then shared files.
CredentialChain default_chain(const Environment& environment);

// AWS_REGION, AWS_DEFAULT_REGION, then `region` of the profile in the configuration file. not_found, with a
// hint.
Result<std::string> find_region(const Environment& environment);

}  // namespace cloister::kms
