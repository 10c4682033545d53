// What people are shown of a certificate, in OpenSSL's words. Nothing here is for decisions.
#pragma once

#include <map>
#include <string>

#include "crypto/x509.h"

namespace cloister::crypto {

struct CertificateText {
  std::map<std::string, std::string> issuer;  // "commonName" → value; of several the last
  std::string algorithm;                      // of its signature: "ecdsa-with-SHA384"
  std::string not_before;                     // "Nov 14 22:13:20 2023 GMT"
  std::string not_after;
  Bytes signature;
};

CertificateText text_of(const Certificate& certificate);

}  // namespace cloister::crypto
