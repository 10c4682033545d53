// Object identifiers of the one kind of CMS that KMS makes, as the contents of their DER.
#pragma once

#include "base/bytes.h"

namespace cloister::crypto {

inline constexpr ByteArray<9> kOidEnvelopedData{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                0x0d, 0x01, 0x07, 0x03};  // 1.2.840.113549.1.7.3
inline constexpr ByteArray<9> kOidData{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                       0x0d, 0x01, 0x07, 0x01};  // 1.2.840.113549.1.7.1
inline constexpr ByteArray<9> kOidRsaesOaep{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                            0x0d, 0x01, 0x01, 0x07};  // 1.2.840.113549.1.1.7
inline constexpr ByteArray<9> kOidMgf1{0x2a, 0x86, 0x48, 0x86, 0xf7,
                                       0x0d, 0x01, 0x01, 0x08};  // 1.2.840.113549.1.1.8
inline constexpr ByteArray<9> kOidSha256{0x60, 0x86, 0x48, 0x01, 0x65,
                                         0x03, 0x04, 0x02, 0x01};  // 2.16.840.1.101.3.4.2.1
inline constexpr ByteArray<9> kOidAes256Cbc{0x60, 0x86, 0x48, 0x01, 0x65,
                                            0x03, 0x04, 0x01, 0x2a};  // 2.16.840.1.101.3.4.1.42

// CMSVersion of EnvelopedData and of a KeyTransRecipientInfo that names its key by subjectKeyIdentifier.
inline constexpr ByteArray<1> kCmsVersion2{2};

}  // namespace cloister::crypto
