// The manifest: what an application's owner says about how it runs. Compiled on the owner's machine from
// cloister.yaml to the canonical CBOR of docs/formats/package.md, section "Manifests"; both directions are in
// manifest.cc. The whole manifest travels inside the encrypted content; its public part, all that a user must
// consent to, travels in the signed header.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace cloister::package {

inline constexpr std::uint64_t kMib = 1024 * 1024;  // bytes
inline constexpr std::uint64_t kManifestVersion = 1;
inline constexpr std::size_t kMaxManifest = 64 * 1024;        // bytes, encoded
inline constexpr std::size_t kMaxPublicManifest = 16 * 1024;  // bytes, encoded
inline constexpr std::size_t kMaxEntryPoints = 64;
inline constexpr std::size_t kMaxEntryName = 1024;  // bytes
inline constexpr std::size_t kMaxShareDirectories = 64;
inline constexpr std::size_t kMaxDestinations = 32;
inline constexpr std::size_t kMaxHost = 253;     // bytes (RFC 1035 section 2.3.4, as text)
inline constexpr std::size_t kMaxPatterns = 64;  // per entry point
inline constexpr std::size_t kMaxPattern = 256;  // bytes
inline constexpr std::uint32_t kMaxArguments = 1024;
inline constexpr std::size_t kMaxVariables = 64;
inline constexpr std::size_t kMaxVariableName = 64;     // bytes
inline constexpr std::size_t kMaxVariableValue = 4096;  // bytes

// The defaults are part of format version 1: a package without a manifest means them, whatever opens it.
inline constexpr std::uint32_t kDefaultMemoryMib = 4096;
inline constexpr std::uint32_t kDefaultProcesses = 256;
inline constexpr std::uint32_t kDefaultSeconds = 24 * 60 * 60;
inline constexpr std::uint32_t kDefaultPackageMib = 8192;
// What a manifest may ask for at most; the enclave's own limits still hold.
inline constexpr std::uint32_t kMaxMemoryMib = 1024 * 1024;
inline constexpr std::uint32_t kMaxProcesses = 32768;
inline constexpr std::uint32_t kMaxSeconds = 30 * 24 * 60 * 60;
inline constexpr std::uint32_t kMaxPackageMib = 1024 * 1024;

inline constexpr std::string_view kDefaultOutput = "output";

struct Limits {
  std::uint32_t memory_mib = kDefaultMemoryMib;
  std::uint32_t processes = kDefaultProcesses;
  std::uint32_t seconds = kDefaultSeconds;
  std::uint32_t package_mib =
      kDefaultPackageMib;  // unpacked, in whole 4 KiB pages, one at least for each file, directory and link
  bool operator==(const Limits&) const = default;
};

// Where the application may connect to, with the user's leave.
struct Destination {
  std::string host;  // lowercase DNS name or IPv4 address
  std::uint16_t port = 0;
  static Result<Destination> parse(std::string_view text);  // "host:port"
  std::string to_string() const;
  bool operator==(const Destination&) const = default;
};

// To whom one of the application's streams goes.
enum class Audience { none, caller };

// What flows between the application, its user and its owner.
struct Terms {
  std::optional<std::vector<std::string>> reads;  // top-level share directories; nullopt: every one of them
  std::vector<std::string> writes{std::string(kDefaultOutput)};
  Audience stdout_to = Audience::caller;
  Audience stderr_to = Audience::none;
  Limits limits;
  std::vector<Destination> egress;
  bool diagnostics = false;                // may make a diagnostic bundle for the owner
  std::optional<ByteArray<32>> owner_key;  // X25519, seals diagnostic bundles; needed for diagnostics
  bool operator==(const Terms&) const = default;
};

// What the header shows to all.
struct PublicManifest {
  Terms terms;
  // Entry points by name. Empty: any file of the package. nullopt: there is a list and the owner keeps it
  // private.
  std::optional<std::vector<std::string>> entries{std::in_place};

  Bytes encode() const;
  // corrupt: not the canonical encoding of a valid public manifest.
  static Result<PublicManifest> parse(ByteView cbor);
  Status check() const;
  bool operator==(const PublicManifest&) const = default;
};

// Which arguments an entry point takes: each must match one of the patterns as a whole. '*' stands for any
// run of bytes, everything else for itself.
struct ArgumentPolicy {
  std::vector<std::string> patterns;
  std::uint32_t max_count = kMaxArguments;
  bool allows(std::span<const std::string> arguments) const;
  bool operator==(const ArgumentPolicy&) const = default;
};

struct EntryPoint {
  std::string name;                         // path inside the package: "bin/train.py"
  std::optional<ArgumentPolicy> arguments;  // nullopt: any
  bool operator==(const EntryPoint&) const = default;
};

// What the owner adds to the application's environment, by name. Not public.
using Environment = std::map<std::string, std::string>;

// What every application finds there: HOME, LANG, PATH, TMPDIR, USER. An owner's PATH is searched before this
// one; the others are not theirs to set.
const Environment& base_environment();

// The whole. A default-constructed one is what holds without a manifest.
struct Manifest {
  Terms terms;
  std::vector<EntryPoint> entries;  // empty: any file of the package, any arguments
  bool entries_public = true;       // whether the public part names them; argument policies never are
  Environment environment;

  Bytes encode() const;
  // corrupt: not the canonical encoding of a valid manifest.
  static Result<Manifest> parse(ByteView cbor);
  // invalid: names, counts or limits out of bounds; what passes encodes to something that parse() takes.
  Status check() const;
  PublicManifest public_part() const;
  // Whether this entry point may run with these arguments. denied: no. That the name is a file of the package
  // and no flag is for the launcher to see.
  Status check_run(std::string_view entry, std::span<const std::string> arguments) const;
  // "NAME=value", sorted: all that the application gets. Nothing of it comes from the host.
  std::vector<std::string> job_environment(const Environment& of_image = {}) const;
  bool operator==(const Manifest&) const = default;
};

}  // namespace cloister::package
