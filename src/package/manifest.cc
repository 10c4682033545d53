#include "package/manifest.h"

#include <algorithm>

#include "codec/cbor.h"
#include "sys/dir.h"

namespace cloister::package {

using codec::CborMapBuilder;
using codec::CborReader;
using codec::CborWriter;

namespace {

constexpr std::size_t kPublicFields = 10;
constexpr std::size_t kFields = 12;
constexpr std::string_view kCaller = "caller";
constexpr std::string_view kNone = "none";

// Arrays

void write_texts(CborWriter& out, const std::vector<std::string>& texts) {
  out.array(texts.size());
  for (const auto& text : texts) out.text(text);
}

Result<std::vector<std::string>> parse_texts(CborReader& reader, std::size_t max_count,
                                             std::size_t max_size) {
  auto array = TRY(reader.array(max_count));
  std::vector<std::string> out;
  while (TRY(array.more())) out.push_back(TRY(reader.text(max_size)));
  TRY(array.finish());
  return out;
}

void write_optional_texts(CborWriter& out, const std::optional<std::vector<std::string>>& texts) {
  if (texts)
    write_texts(out, *texts);
  else
    out.null();
}

Result<std::optional<std::vector<std::string>>> parse_optional_texts(CborReader& reader,
                                                                     std::size_t max_count,
                                                                     std::size_t max_size) {
  std::optional<std::vector<std::string>> out;
  if (!TRY(reader.optional_null())) out = TRY(parse_texts(reader, max_count, max_size));
  return out;
}

// Terms

void write_limits(CborWriter& out, const Limits& limits) {
  CborMapBuilder map;
  map.add_uint("seconds", limits.seconds);
  map.add_uint("processes", limits.processes);
  map.add_uint("memory_mib", limits.memory_mib);
  map.add_uint("package_mib", limits.package_mib);
  map.write_to(out);
}

Result<Limits> parse_limits(CborReader& reader) {
  Limits limits;
  auto map = TRY(reader.map(4));
  TRY(map.expect_key("seconds"));
  limits.seconds = static_cast<std::uint32_t>(TRY(reader.uint(kMaxSeconds)));
  TRY(map.expect_key("processes"));
  limits.processes = static_cast<std::uint32_t>(TRY(reader.uint(kMaxProcesses)));
  TRY(map.expect_key("memory_mib"));
  limits.memory_mib = static_cast<std::uint32_t>(TRY(reader.uint(kMaxMemoryMib)));
  TRY(map.expect_key("package_mib"));
  limits.package_mib = static_cast<std::uint32_t>(TRY(reader.uint(kMaxPackageMib)));
  TRY(map.finish());
  return limits;
}

std::string_view to_word(Audience audience) {
  return audience == Audience::caller ? kCaller : kNone;
}

Result<Audience> parse_audience(CborReader& reader) {
  auto word = TRY(reader.text(kCaller.size()));
  if (word == kCaller) return Audience::caller;
  if (word == kNone) return Audience::none;
  return fail(ErrorKind::corrupt, "'{}' is neither caller nor none", word);
}

Result<std::vector<Destination>> parse_egress(CborReader& reader) {
  std::vector<Destination> out;
  for (const auto& text : TRY(parse_texts(reader, kMaxDestinations, kMaxHost + 6))) {
    auto destination = TRY(Destination::parse(text));
    if (destination.to_string() != text)
      return fail(ErrorKind::corrupt, "'{}' is not in its shortest form", text);
    out.push_back(std::move(destination));
  }
  return out;
}

void add_terms(CborMapBuilder& map, const Terms& terms) {
  map.add("reads", [&](CborWriter& out) { write_optional_texts(out, terms.reads); });
  map.add("egress", [&](CborWriter& out) {
    out.array(terms.egress.size());
    for (const auto& destination : terms.egress) out.text(destination.to_string());
  });
  map.add("limits", [&](CborWriter& out) { write_limits(out, terms.limits); });
  map.add_text("stderr", to_word(terms.stderr_to));
  map.add_text("stdout", to_word(terms.stdout_to));
  map.add("writes", [&](CborWriter& out) { write_texts(out, terms.writes); });
  map.add("owner_key", [&](CborWriter& out) {
    if (terms.owner_key)
      out.bytes(*terms.owner_key);
    else
      out.null();
  });
  map.add_boolean("diagnostics", terms.diagnostics);
}

// Keys come in the order of their encoding, so "entries" stands among the terms: `entries` reads its value.
template <class ReadEntries>
Result<Terms> parse_terms(CborReader& reader, codec::CborMap& map, const ReadEntries& entries) {
  Terms terms;
  TRY(map.expect_key("v"));
  if (auto version = TRY(reader.uint()); version != kManifestVersion) {
    return fail(ErrorKind::invalid, "version {} (this build knows {})", version, kManifestVersion);
  }
  TRY(map.expect_key("reads"));
  terms.reads = TRY(parse_optional_texts(reader, kMaxShareDirectories, sys::kMaxComponent));
  TRY(map.expect_key("egress"));
  terms.egress = TRY(parse_egress(reader));
  TRY(map.expect_key("limits"));
  terms.limits = TRY(parse_limits(reader));
  TRY(map.expect_key("stderr"));
  terms.stderr_to = TRY(parse_audience(reader));
  TRY(map.expect_key("stdout"));
  terms.stdout_to = TRY(parse_audience(reader));
  TRY(map.expect_key("writes"));
  terms.writes = TRY(parse_texts(reader, kMaxShareDirectories, sys::kMaxComponent));
  TRY(map.expect_key("entries"));
  TRY(entries());
  TRY(map.expect_key("owner_key"));
  if (!TRY(reader.optional_null())) {
    terms.owner_key.emplace();
    std::ranges::copy(TRY(reader.bytes_view(32, 32)), terms.owner_key->begin());
  }
  TRY(map.expect_key("diagnostics"));
  terms.diagnostics = TRY(reader.boolean());
  return terms;
}

// Entry points

void write_entry(CborWriter& out, const EntryPoint& entry) {
  CborMapBuilder map;
  map.add_text("name", entry.name);
  map.add("args", [&](CborWriter& value) {
    if (!entry.arguments) {
      value.null();
      return;
    }
    CborMapBuilder policy;
    policy.add_uint("max", entry.arguments->max_count);
    policy.add("patterns", [&](CborWriter& patterns) { write_texts(patterns, entry.arguments->patterns); });
    policy.write_to(value);
  });
  map.write_to(out);
}

Result<EntryPoint> parse_entry(CborReader& reader) {
  EntryPoint entry;
  auto map = TRY(reader.map(2));
  TRY(map.expect_key("args"));
  if (!TRY(reader.optional_null())) {
    entry.arguments.emplace();
    auto policy = TRY(reader.map(2));
    TRY(policy.expect_key("max"));
    entry.arguments->max_count = static_cast<std::uint32_t>(TRY(reader.uint(kMaxArguments)));
    TRY(policy.expect_key("patterns"));
    entry.arguments->patterns = TRY(parse_texts(reader, kMaxPatterns, kMaxPattern));
    TRY(policy.finish());
  }
  TRY(map.expect_key("name"));
  entry.name = TRY(reader.text(kMaxEntryName));
  TRY(map.finish());
  return entry;
}

// Environment. Names are the keys of a map, so the canonical encoding says their order: shorter first, then
// bytewise.

void write_environment(CborWriter& out, const Environment& environment) {
  CborMapBuilder map;
  for (const auto& [name, value] : environment) map.add_text(name, value);
  map.write_to(out);
}

Result<Environment> parse_environment(CborReader& reader) {
  Environment out;
  auto map = TRY(reader.map(kMaxVariables));
  while (TRY(map.more())) {
    auto name = TRY(reader.text(kMaxVariableName));
    out.emplace(std::move(name), TRY(reader.text(kMaxVariableValue)));
  }
  TRY(map.finish());
  return out;
}

Result<PublicManifest> parse_public(ByteView cbor) {
  if (cbor.size() > kMaxPublicManifest)
    return fail(ErrorKind::corrupt, "longer than {} bytes", kMaxPublicManifest);
  CborReader reader(cbor);
  PublicManifest out;
  auto map = TRY(reader.map(kPublicFields));
  auto entries = [&]() -> Status {
    out.entries = TRY(parse_optional_texts(reader, kMaxEntryPoints, kMaxEntryName));
    return {};
  };
  out.terms = TRY(parse_terms(reader, map, entries));
  TRY(map.finish());
  TRY(reader.finish());
  TRY(out.check());
  return out;
}

Result<Manifest> parse_private(ByteView cbor) {
  if (cbor.size() > kMaxManifest) return fail(ErrorKind::corrupt, "longer than {} bytes", kMaxManifest);
  CborReader reader(cbor);
  Manifest out;
  auto map = TRY(reader.map(kFields));
  auto entries = [&]() -> Status {
    auto array = TRY(reader.array(kMaxEntryPoints));
    while (TRY(array.more())) out.entries.push_back(TRY(parse_entry(reader)));
    return array.finish();
  };
  out.terms = TRY(parse_terms(reader, map, entries));
  TRY(map.expect_key("environment"));
  out.environment = TRY(parse_environment(reader));
  TRY(map.expect_key("entries_public"));
  out.entries_public = TRY(reader.boolean());
  TRY(map.finish());
  TRY(reader.finish());
  TRY(out.check());
  return out;
}

}  // namespace

Bytes PublicManifest::encode() const {
  CborMapBuilder map;
  map.add_uint("v", kManifestVersion);
  map.add("entries", [&](CborWriter& out) { write_optional_texts(out, entries); });
  add_terms(map, terms);
  return map.encode();
}

Result<PublicManifest> PublicManifest::parse(ByteView cbor) {
  return parse_public(cbor).context("public manifest");
}

Bytes Manifest::encode() const {
  CborMapBuilder map;
  map.add_uint("v", kManifestVersion);
  map.add("entries", [&](CborWriter& out) {
    out.array(entries.size());
    for (const auto& entry : entries) write_entry(out, entry);
  });
  map.add("environment", [&](CborWriter& out) { write_environment(out, environment); });
  map.add_boolean("entries_public", entries_public);
  add_terms(map, terms);
  return map.encode();
}

Result<Manifest> Manifest::parse(ByteView cbor) {
  return parse_private(cbor).context("manifest");
}

PublicManifest Manifest::public_part() const {
  PublicManifest out;
  out.terms = terms;
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.name);
  if (names.empty() || entries_public)
    out.entries = std::move(names);
  else
    out.entries.reset();
  return out;
}

}  // namespace cloister::package
