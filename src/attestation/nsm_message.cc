#include "attestation/nsm_message.h"

#include <array>
#include <functional>

#include "codec/cbor.h"

namespace cloister::attestation {

namespace {

using codec::CborReader;
using codec::CborWriter;

constexpr std::size_t kMaxName = 16;    // bytes
constexpr std::size_t kMaxFields = 16;  // of one message
constexpr std::uint64_t kMaxU16 = 0xFFFF;
constexpr std::size_t kMaxPcrSize = 64;  // bytes

constexpr std::array<std::string_view, 9> kErrorNames = {
    "Success",          "InvalidArgument", "InvalidIndex",  "InvalidResponse", "ReadOnlyIndex",
    "InvalidOperation", "BufferTooSmall",  "InputTooLarge", "InternalError"};

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

// The fields of one message: each named one is read by its function, all of them must come, none twice.
struct Field {
  std::string_view name;
  std::function<Status()> read;
  bool optional = false;
};

Status read_fields(CborReader& reader, const std::vector<Field>& fields, bool skip_unknown = false) {
  std::vector<bool> seen(fields.size());
  auto map = TRY(reader.map(kMaxFields));
  while (TRY(map.more())) {
    auto name = TRY(reader.text(kMaxName));
    std::size_t i = 0;
    while (i < fields.size() && fields[i].name != name) ++i;
    if (i < fields.size()) {
      TRY(fields[i].read());
      seen[i] = true;
    } else if (skip_unknown) {
      TRY(reader.skip());
    } else {
      return fail(ErrorKind::corrupt, "an unknown field");
    }
  }
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!seen[i] && !fields[i].optional) return fail(ErrorKind::corrupt, "{} is missing", fields[i].name);
  }
  return map.finish();
}

Field u16_field(CborReader& reader, std::string_view name, std::uint16_t& out) {
  return {.name = name, .read = [&reader, &out]() -> Status {
            out = static_cast<std::uint16_t>(TRY(reader.uint(kMaxU16)));
            return {};
          }};
}

Field unsigned_field(CborReader& reader, std::string_view name, unsigned& out) {
  return {.name = name, .read = [&reader, &out]() -> Status {
            out = static_cast<unsigned>(TRY(reader.uint(kMaxU16)));
            return {};
          }};
}

Field bytes_field(CborReader& reader, std::string_view name, Bytes& out, std::size_t max,
                  std::size_t min = 0) {
  return {.name = name, .read = [&reader, &out, max, min]() -> Status {
            out = TRY(reader.bytes(max, min));
            return {};
          }};
}

Field text_field(CborReader& reader, std::string_view name, std::string& out, std::size_t max) {
  return {.name = name, .read = [&reader, &out, max]() -> Status {
            out = TRY(reader.text(max, 1));
            return {};
          }};
}

Field optional_field(CborReader& reader, std::string_view name, std::optional<Bytes>& out) {
  return {.name = name,
          .read = [&reader, &out]() -> Status {
            if (TRY(reader.optional_null())) return {};
            out = TRY(reader.bytes(kMaxNsmAttestationField));
            return {};
          },
          .optional = true};
}

// --- Requests ---

Result<NsmRequest> read_plain_request(const std::string& name) {
  if (name == "DescribeNSM") return DescribeNsmRequest{};
  if (name == "GetRandom") return GetRandomRequest{};
  return fail(ErrorKind::corrupt, "an unknown request");
}

Result<NsmRequest> read_request(CborReader& reader, const std::string& name) {
  if (name == "DescribePCR") {
    DescribePcrRequest request;
    TRY(read_fields(reader, {u16_field(reader, "index", request.index)}));
    return request;
  }
  if (name == "ExtendPCR") {
    ExtendPcrRequest request;
    TRY(read_fields(reader, {u16_field(reader, "index", request.index),
                             bytes_field(reader, "data", request.data, kMaxExtendData)}));
    return request;
  }
  if (name == "LockPCR") {
    LockPcrRequest request;
    TRY(read_fields(reader, {u16_field(reader, "index", request.index)}));
    return request;
  }
  if (name == "LockPCRs") {
    LockPcrsRequest request;
    TRY(read_fields(reader, {u16_field(reader, "range", request.range)}));
    return request;
  }
  if (name == "Attestation") {
    AttestationRequest request;
    TRY(read_fields(reader, {optional_field(reader, "user_data", request.user_data),
                             optional_field(reader, "nonce", request.nonce),
                             optional_field(reader, "public_key", request.public_key)}));
    return request;
  }
  return fail(ErrorKind::corrupt, "an unknown request");
}

// --- Responses ---

Result<NsmResponse> read_plain_response(const std::string& name) {
  if (name == "LockPCR") return LockPcrResponse{};
  if (name == "LockPCRs") return LockPcrsResponse{};
  return fail(ErrorKind::corrupt, "an unknown response");
}

Result<NsmErrorCode> read_error(CborReader& reader) {
  auto name = TRY(reader.text(kMaxName));
  for (std::size_t i = 0; i < kErrorNames.size(); ++i) {
    if (kErrorNames[i] == name) return static_cast<NsmErrorCode>(i);
  }
  return fail(ErrorKind::corrupt, "an unknown error code");
}

Result<NsmResponse> read_pcr_state(CborReader& reader) {
  PcrState state;
  Field lock{.name = "lock", .read = [&]() -> Status {
               state.locked = TRY(reader.boolean());
               return {};
             }};
  TRY(read_fields(reader, {lock, bytes_field(reader, "data", state.value, kMaxPcrSize, 1)}));
  return state;
}

Result<std::vector<unsigned>> read_ascending(CborReader& reader) {
  std::vector<unsigned> list;
  auto array = TRY(reader.array(kMaxU16));
  while (TRY(array.more())) {
    auto value = static_cast<unsigned>(TRY(reader.uint(kMaxU16)));
    if (!list.empty() && value <= list.back()) return fail(ErrorKind::corrupt, "locked_pcrs: not ascending");
    list.push_back(value);
  }
  TRY(array.finish());
  return list;
}

// A later minor version of the module may add fields: it must not keep enclaves from starting.
Result<NsmResponse> read_description(CborReader& reader) {
  NsmDescription about;
  Field locked{.name = "locked_pcrs", .read = [&]() -> Status {
                 about.locked_pcrs = TRY(read_ascending(reader));
                 return {};
               }};
  TRY(read_fields(reader,
                  {unsigned_field(reader, "version_major", about.version_major),
                   unsigned_field(reader, "version_minor", about.version_minor),
                   unsigned_field(reader, "version_patch", about.version_patch),
                   text_field(reader, "module_id", about.module_id, kMaxModuleId),
                   unsigned_field(reader, "max_pcrs", about.max_pcrs), locked,
                   text_field(reader, "digest", about.digest, kMaxName)},
                  true));
  return about;
}

Result<NsmResponse> read_response(CborReader& reader, const std::string& name) {
  if (name == "Error") return TRY(read_error(reader));
  if (name == "DescribePCR") return read_pcr_state(reader);
  if (name == "DescribeNSM") return read_description(reader);
  if (name == "ExtendPCR") {
    ExtendPcrResponse response;
    TRY(read_fields(reader, {bytes_field(reader, "data", response.data, kMaxPcrSize, 1)}));
    return response;
  }
  if (name == "Attestation") {
    AttestationResponse response;
    TRY(read_fields(reader, {bytes_field(reader, "document", response.document, kMaxNsmResponse, 1)}));
    return response;
  }
  if (name == "GetRandom") {
    GetRandomResponse response;
    TRY(read_fields(reader, {bytes_field(reader, "random", response.random, kMaxNsmRandom, 1)}));
    return response;
  }
  return fail(ErrorKind::corrupt, "an unknown response");
}

// A name alone, or a map of one entry.
template <class Message>
Result<Message> parse_variant(ByteView cbor, Result<Message> (*plain)(const std::string&),
                              Result<Message> (*with_fields)(CborReader&, const std::string&)) {
  CborReader reader(cbor, codec::CborMode::lenient);
  if (TRY(reader.peek()) == codec::CborType::text) {
    auto name = TRY(reader.text(kMaxName));
    TRY(reader.finish());
    return plain(name);
  }
  auto map = TRY(reader.map(1));
  auto name = TRY(reader.text(kMaxName));
  auto message = TRY(with_fields(reader, name));
  TRY(map.finish());
  TRY(reader.finish());
  return message;
}

// --- Writing ---

CborWriter& variant_head(CborWriter& writer, std::string_view name, std::size_t fields) {
  return writer.map(1).text(name).map(fields);
}

CborWriter& optional_bytes(CborWriter& writer, std::string_view name, const std::optional<Bytes>& value) {
  writer.text(name);
  return value ? writer.bytes(*value) : writer.null();
}

void write_description(CborWriter& writer, const NsmDescription& about) {
  variant_head(writer, "DescribeNSM", 7);
  writer.text("version_major").uint(about.version_major);
  writer.text("version_minor").uint(about.version_minor);
  writer.text("version_patch").uint(about.version_patch);
  writer.text("module_id").text(about.module_id);
  writer.text("max_pcrs").uint(about.max_pcrs);
  writer.text("locked_pcrs").array(about.locked_pcrs.size());
  for (auto index : about.locked_pcrs) writer.uint(index);
  writer.text("digest").text(about.digest);
}

}  // namespace

std::string_view to_string(NsmErrorCode code) {
  return kErrorNames.at(static_cast<std::size_t>(code));
}

Result<NsmRequest> parse_request(ByteView cbor) {
  if (cbor.size() > kMaxNsmRequest)
    return fail(ErrorKind::corrupt, "NSM request: larger than {} bytes", kMaxNsmRequest);
  return parse_variant<NsmRequest>(cbor, read_plain_request, read_request).context("NSM request");
}

Result<NsmResponse> parse_response(ByteView cbor) {
  if (cbor.size() > kMaxNsmResponse) {
    return fail(ErrorKind::corrupt, "NSM response: larger than {} bytes", kMaxNsmResponse);
  }
  return parse_variant<NsmResponse>(cbor, read_plain_response, read_response).context("NSM response");
}

Bytes encode_request(const NsmRequest& request) {
  CborWriter out;
  std::visit(
      Overloaded{
          [&](const DescribePcrRequest& m) {
            variant_head(out, "DescribePCR", 1).text("index").uint(m.index);
          },
          [&](const ExtendPcrRequest& m) {
            variant_head(out, "ExtendPCR", 2).text("index").uint(m.index).text("data").bytes(m.data);
          },
          [&](const LockPcrRequest& m) { variant_head(out, "LockPCR", 1).text("index").uint(m.index); },
          [&](const LockPcrsRequest& m) { variant_head(out, "LockPCRs", 1).text("range").uint(m.range); },
          [&](const DescribeNsmRequest&) { out.text("DescribeNSM"); },
          [&](const AttestationRequest& m) {
            variant_head(out, "Attestation", 3);
            optional_bytes(out, "user_data", m.user_data);
            optional_bytes(out, "nonce", m.nonce);
            optional_bytes(out, "public_key", m.public_key);
          },
          [&](const GetRandomRequest&) { out.text("GetRandom"); },
      },
      request);
  return std::move(out).take();
}

Bytes encode_response(const NsmResponse& response) {
  CborWriter out;
  std::visit(
      Overloaded{
          [&](const PcrState& m) {
            variant_head(out, "DescribePCR", 2).text("lock").boolean(m.locked).text("data").bytes(m.value);
          },
          [&](const ExtendPcrResponse& m) { variant_head(out, "ExtendPCR", 1).text("data").bytes(m.data); },
          [&](const LockPcrResponse&) { out.text("LockPCR"); },
          [&](const LockPcrsResponse&) { out.text("LockPCRs"); },
          [&](const NsmDescription& m) { write_description(out, m); },
          [&](const AttestationResponse& m) {
            variant_head(out, "Attestation", 1).text("document").bytes(m.document);
          },
          [&](const GetRandomResponse& m) {
            variant_head(out, "GetRandom", 1).text("random").bytes(m.random);
          },
          [&](const NsmErrorCode& m) { out.map(1).text("Error").text(to_string(m)); },
      },
      response);
  return std::move(out).take();
}

}  // namespace cloister::attestation
