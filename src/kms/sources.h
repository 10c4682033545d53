// Where the host finds credentials beside its environment and the shared files. Order and variables are
// those of the AWS SDKs and Tools Reference Guide. For the host only.
#pragma once

#include "kms/credentials.h"
#include "kms/dial.h"

namespace cloister::kms {

// What a session may do. Passed with the last AssumeRole of a profile, so that what comes is no wider.
struct SessionScope {
  std::string policy;      // JSON
  unsigned seconds = 900;  // the least that STS gives
  bool applied = false;    // set by the source that has passed it on
};

// What sources reach. The clock, and the scope if there is one, outlive them.
struct Surroundings {
  Environment environment;
  Dial dial;
  const sys::Clock& clock;
  SessionScope* scope = nullptr;
};

// The profile's role_arn with source_profile or credential_source, roles in a row included.
std::unique_ptr<CredentialSource> from_roles(const Surroundings& surroundings);
// AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's web_identity_token_file and role_arn.
std::unique_ptr<CredentialSource> from_web_identity(const Surroundings& surroundings);
// The profile's credential_process. `profile`: another one than AWS_PROFILE names.
std::unique_ptr<CredentialSource> from_process(const Surroundings& surroundings, std::string profile = "");
// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI: Amazon ECS, EKS Pod Identity, Greengrass.
std::unique_ptr<CredentialSource> from_container(const Surroundings& surroundings);
// The role of this EC2 instance, by IMDSv2. Without a session token (IMDSv1) only where
// CLOISTER_ALLOW_IMDSV1=true says so.
std::unique_ptr<CredentialSource> from_instance(const Surroundings& surroundings);

// Environment, roles, web identity, shared files, process, container, instance.
CredentialChain default_chain(const Surroundings& surroundings);

// What a process, a container and an instance answer with: AccessKeyId, SecretAccessKey, Expiration, and the
// token under this name. corrupt: anything else.
struct DocumentForm {
  const char* token = "Token";
  bool expires = true;  // Expiration must be there, and a token
};
Result<Credentials> parse_document(std::string_view json, DocumentForm form);

}  // namespace cloister::kms
