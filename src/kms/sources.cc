#include "kms/sources.h"

#include "kms/json_object.h"
#include "kms/times.h"

namespace cloister::kms {

namespace {

constexpr Length kIdLength{16, 128};  // as IAM has it
constexpr Length kSecretLength{1, 256};
constexpr Length kTokenLength{1, 16 * 1024};
constexpr Length kTimeLength{1, 64};

Result<Secret> secret_member(const ObjectReader& object, const char* name, Length length) {
  auto text = TRY(object.text(name, length));
  Secret out(as_bytes(text));
  wipe(text);
  return out;
}

}  // namespace

Result<Credentials> parse_document(std::string_view json, DocumentForm form) {
  auto object = TRY(ObjectReader::parse(json, ErrorKind::corrupt));
  Credentials out;
  out.access_key_id = TRY(object.text("AccessKeyId", kIdLength));
  out.secret_access_key = TRY(secret_member(object, "SecretAccessKey", kSecretLength));
  if (form.expires || object.has(form.token))
    out.session_token = TRY(secret_member(object, form.token, kTokenLength));
  if (form.expires || object.has("Expiration")) {
    auto until = TRY(object.text("Expiration", kTimeLength));
    auto at = parse_iso_time(until);
    if (!at) return fail(ErrorKind::corrupt, "Expiration: {}", at.error().message());
    out.expires = *at;
  }
  return out;
}

CredentialChain default_chain(const Surroundings& surroundings) {
  CredentialChain chain(&surroundings.clock);
  chain.add(from_environment(surroundings.environment));
  chain.add(from_roles(surroundings));
  chain.add(from_web_identity(surroundings));
  chain.add(from_shared_files(surroundings.environment));
  chain.add(from_process(surroundings));
  chain.add(from_container(surroundings));
  chain.add(from_instance(surroundings));
  return chain;
}

}  // namespace cloister::kms
