// Chain verification, in two passes: our own says in a page what a chain is and accepts nothing else;
// OpenSSL's (RFC 5280 path validation) then has to come to the same chain, and checks the signatures. Either
// may refuse. Each signature is checked once: they are all that verification costs.
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <set>

#include "crypto/handles.h"
#include "crypto/x509.h"

namespace cloister::crypto {

namespace {

constexpr int kSecurityLevel = 2;  // 112 bits, as OpenSSL counts
constexpr std::string_view kOtherKey = "the key is not on the named curve P-384";
constexpr std::string_view kCurve = SN_secp384r1;
constexpr int kUnreadableOrIndefinite = 0x80 | 0x01;  // of ASN1_get_object

X509* x509(const Certificate& certificate) {
  return static_cast<X509*>(certificate.handle());
}

bool has_flag(const Certificate& certificate, std::uint32_t flag) {
  return (X509_get_extension_flags(x509(certificate)) & flag) != 0;
}

// Named, not spelt out as parameters: those could describe another curve under the same key size.
bool is_p384(EVP_PKEY* key) {
  std::array<char, 32> curve{};
  std::size_t size = 0;
  int spelt_out = 0;
  bool named = key != nullptr && EVP_PKEY_get_id(key) == EVP_PKEY_EC &&
               EVP_PKEY_get_group_name(key, curve.data(), curve.size(), &size) == 1 &&
               EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) == 1;
  clear_errors();
  return named && spelt_out == 0 && std::string_view(curve.data(), size) == kCurve;
}

// One DER value and nothing after it: OpenSSL reads the value and does not look further.
bool is_whole(const ASN1_OCTET_STRING* value) {
  const std::uint8_t* at = ASN1_STRING_get0_data(value);
  const std::uint8_t* end = at + ASN1_STRING_length(value);
  long size = 0;
  int tag = 0;
  int tag_class = 0;
  int found = ASN1_get_object(&at, &size, &tag, &tag_class, end - at);
  clear_errors();
  return (found & kUnreadableOrIndefinite) == 0 && at + size == end;
}

Status check_extensions(X509* certificate) {
  std::set<Bytes> seen;
  for (int i = 0; i < X509_get_ext_count(certificate); ++i) {
    auto* extension = X509_get_ext(certificate, i);
    const auto* name = X509_EXTENSION_get_object(extension);
    const auto* bytes = OBJ_get0_data(name);
    if (!seen.emplace(bytes, bytes + OBJ_length(name)).second)
      return fail(ErrorKind::denied, "an extension stands twice");
    if (!is_whole(X509_EXTENSION_get_data(extension)))
      return fail(ErrorKind::denied, "bytes after the value of an extension");
  }
  return {};
}

Status check_each(const Certificate& certificate, sys::UnixMillis at) {
  if (X509_get_version(x509(certificate)) != X509_VERSION_3) return fail(ErrorKind::denied, "not version 3");
  TRY(check_extensions(x509(certificate)));
  if (has_flag(certificate, EXFLAG_INVALID)) return fail(ErrorKind::denied, "malformed extensions");
  if (has_flag(certificate, EXFLAG_CRITICAL)) return fail(ErrorKind::denied, "unknown critical extension");
  if (X509_get_signature_nid(x509(certificate)) != NID_ecdsa_with_SHA384)
    return fail(ErrorKind::denied, "the signature algorithm is not ECDSA with SHA-384");
  if (!is_p384(X509_get0_pubkey(x509(certificate)))) return fail(ErrorKind::denied, "{}", kOtherKey);
  if (at < certificate.not_before()) return fail(ErrorKind::denied, "not valid yet");
  if (at >= certificate.not_after()) return fail(ErrorKind::denied, "expired");
  return {};
}

// below: how many certificates between this issuer and the leaf. Self-issued ones count too, which RFC 5280
// would not.
Status check_issuer(const Certificate& issuer, std::size_t below) {
  if (!has_flag(issuer, EXFLAG_BCONS) || !has_flag(issuer, EXFLAG_CA)) {
    return fail(ErrorKind::denied, "issues certificates but is no authority");
  }
  if (!has_flag(issuer, EXFLAG_BCONS_CRITICAL))
    return fail(ErrorKind::denied, "basicConstraints are not critical");
  // Without the extension X509_get_key_usage answers "everything".
  if (!has_flag(issuer, EXFLAG_KUSAGE) || (X509_get_key_usage(x509(issuer)) & KU_KEY_CERT_SIGN) == 0) {
    return fail(ErrorKind::denied, "key usage does not include keyCertSign");
  }
  long path_length = X509_get_pathlen(x509(issuer));
  if (path_length >= 0 && below > static_cast<std::size_t>(path_length)) {
    return fail(ErrorKind::denied, "path length exceeded");
  }
  return {};
}

Status check_leaf(const Certificate& leaf) {
  if (has_flag(leaf, EXFLAG_CA)) return fail(ErrorKind::denied, "an authority in the place of the leaf");
  if (X509_get_pathlen(x509(leaf)) >= 0) return fail(ErrorKind::denied, "a path length without an authority");
  bool stated = has_flag(leaf, EXFLAG_KUSAGE);
  if (!stated || (X509_get_key_usage(x509(leaf)) & KU_DIGITAL_SIGNATURE) == 0) {
    return fail(ErrorKind::denied, "key usage does not include digitalSignature");
  }
  // Real ones have none. One that is there says what else the key is for.
  if (has_flag(leaf, EXFLAG_XKUSAGE) && (X509_get_extended_key_usage(x509(leaf)) & XKU_ANYEKU) == 0)
    return fail(ErrorKind::denied, "extended key usage: for another purpose");
  return {};
}

// Names, and the authority key identifier where there is one.
Status check_link(const Certificate& child, const Certificate& issuer) {
  if (X509_check_issued(x509(issuer), x509(child)) != X509_V_OK)
    return fail(ErrorKind::denied, "issued by another");
  return {};
}

// leaf first, root last.
using Chain = std::vector<const Certificate*>;

std::string where(std::size_t i, const Chain& chain) {
  if (i == 0) return "leaf";
  return i + 1 == chain.size() ? "root" : fmt::format("issuer {}", i);
}

// What each certificate says of itself first: its refusals name the cause better than a link that does not
// hold.
Status check_chain(const Chain& chain, sys::UnixMillis at) {
  TRY(check_leaf(*chain.front()).context(where(0, chain)));
  for (std::size_t i = 0; i < chain.size(); ++i) {
    TRY(check_each(*chain[i], at).context(where(i, chain)));
    if (i > 0) TRY(check_issuer(*chain[i], i - 1).context(where(i, chain)));
  }
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    TRY(check_link(*chain[i], *chain[i + 1]).context(where(i, chain)));
  }
  return check_link(*chain.back(), *chain.back()).context(where(chain.size() - 1, chain));
}

Handle<X509_STORE> store_of(const Certificate& root) {
  Handle<X509_STORE> store(X509_STORE_new());
  require(store && X509_STORE_add_cert(store.get(), x509(root)) == 1, "out of memory");
  return store;
}

// Strictness asks for key identifiers, which the two lowest certificates of real Nitro chains do not have.
// They only help to find issuers; ours are given, and proven by name and signature.
int tolerate_missing_key_ids(int ok, X509_STORE_CTX* context) {
  int error = X509_STORE_CTX_get_error(context);
  bool tolerable = error == X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER ||
                   error == X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER;
  if (ok == 1 || !tolerable) return ok;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

void set_parameters(X509_STORE_CTX* context, sys::UnixMillis at) {
  auto* parameters = X509_STORE_CTX_get0_param(context);
  X509_STORE_CTX_set_verify_cb(context, tolerate_missing_key_ids);
  X509_VERIFY_PARAM_set_time(parameters, at / 1000);
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(kMaxChain));
}

// OpenSSL builds a chain of what it is given; it must be all of it, in our order.
bool same_chain(X509_STORE_CTX* context, const Chain& chain) {
  auto* built = X509_STORE_CTX_get0_chain(context);
  if (static_cast<std::size_t>(sk_X509_num(built)) != chain.size()) return false;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (X509_cmp(sk_X509_value(built, static_cast<int>(i)), x509(*chain[i])) != 0) return false;
  }
  return true;
}

std::unexpected<Error> refusal(X509_STORE_CTX* context, const Chain& chain) {
  int error = X509_STORE_CTX_get_error(context);
  auto depth = static_cast<std::size_t>(std::max(0, X509_STORE_CTX_get_error_depth(context)));
  auto why = error == X509_V_ERR_CERT_SIGNATURE_FAILURE ? "signature does not verify"
                                                        : X509_verify_cert_error_string(error);
  return fail(ErrorKind::denied, "{}: {}", where(depth, chain), why);
}

Status validate_with_openssl(const Chain& chain, sys::UnixMillis at) {
  auto store = store_of(*chain.back());
  Handle<STACK_OF(X509)> untrusted(sk_X509_new_null());
  require(untrusted != nullptr, "out of memory");
  for (std::size_t i = 1; i + 1 < chain.size(); ++i) {
    require(sk_X509_push(untrusted.get(), x509(*chain[i])) > 0, "out of memory");
  }
  Handle<X509_STORE_CTX> context(X509_STORE_CTX_new());
  require(
      context && X509_STORE_CTX_init(context.get(), store.get(), x509(*chain.front()), untrusted.get()) == 1,
      "out of memory");
  set_parameters(context.get(), at);
  bool good = X509_verify_cert(context.get()) == 1 && X509_STORE_CTX_get_error(context.get()) == X509_V_OK;
  clear_errors();
  if (!good) return refusal(context.get(), chain);
  if (!same_chain(context.get(), chain)) return fail(ErrorKind::denied, "a certificate that is not needed");
  return {};
}

}  // namespace

Status verify_signature(const Certificate& signer, ByteView message, ByteView signature) {
  EVP_PKEY* key = X509_get0_pubkey(x509(signer));
  if (!is_p384(key)) return fail(ErrorKind::denied, "signing certificate: {}", kOtherKey);
  // The certificate owns the key, and outlives this call.
  return PublicKey(std::shared_ptr<void>(key, [](void*) {})).verify(message, signature);
}

Status verify_chain(const Certificate& leaf, const std::vector<Certificate>& intermediates,
                    const Certificate& root, sys::UnixMillis at) {
  if (intermediates.size() + 2 > kMaxChain) {
    return fail(ErrorKind::denied, "certificate chain: longer than {}", kMaxChain);
  }
  Chain chain{&leaf};
  for (auto certificate = intermediates.rbegin(); certificate != intermediates.rend(); ++certificate) {
    chain.push_back(&*certificate);
  }
  chain.push_back(&root);
  auto checked = check_chain(chain, at);
  if (checked) checked = validate_with_openssl(chain, at);
  clear_errors();
  return std::move(checked).context("certificate chain");
}

}  // namespace cloister::crypto
