#include "codec/cose.h"

#include "codec/cbor.h"

namespace cloister::codec {

Result<CoseSign1> CoseSign1::parse(ByteView cbor, std::size_t max_payload) {
  CborReader reader(cbor, CborMode::lenient);
  if (TRY(reader.peek()) == CborType::tag && TRY(reader.tag()) != kCoseSign1Tag) {
    return fail(ErrorKind::corrupt, "COSE: the tag is not COSE_Sign1");
  }
  CoseSign1 message;
  auto array = TRY(reader.array_of(4));
  message.protected_headers = TRY(reader.bytes(kMaxCoseProtected));
  auto unprotected = TRY(reader.map(0));
  TRY(unprotected.finish());
  message.payload = TRY(reader.bytes(max_payload));
  message.signature = TRY(reader.bytes(kMaxCoseSignature));
  TRY(array.finish());
  TRY(reader.finish());
  return message;
}

Bytes CoseSign1::encode() const {
  CborWriter writer;
  writer.array(4).bytes(protected_headers).map(0).bytes(payload).bytes(signature);
  return std::move(writer).take();
}

Result<std::int64_t> CoseSign1::algorithm() const {
  CborReader reader(protected_headers, CborMode::lenient);
  auto map = TRY(reader.map(1));
  TRY(map.expect_key(kCoseAlgorithmHeader));
  auto algorithm = TRY(reader.integer());
  TRY(map.finish());
  TRY(reader.finish());
  return algorithm;
}

Bytes CoseSign1::signed_bytes() const {
  CborWriter writer;
  writer.array(4).text("Signature1").bytes(protected_headers).bytes({}).bytes(payload);
  return std::move(writer).take();
}

Bytes encode_cose_algorithm(std::int64_t algorithm) {
  CborWriter writer;
  writer.map(1).integer(kCoseAlgorithmHeader).integer(algorithm);
  return std::move(writer).take();
}

}  // namespace cloister::codec
