// What the enclave's processes say to each other: fixed structs over SOCK_SEQPACKET pairs
// (sys/message_socket.h). Every text is bounded and every number is checked by whoever receives it: the
// listener talks to the network, so the others treat it as hostile.
//
//   listener → monitor    MonitorRequest → MonitorReply (+ descriptors)      one at a time
//   listener → keeper     KeeperRequest  → KeeperReply                       one at a time
//   monitor  → keeper     NewJob (+ the keeper's end of the launcher's channel)
//   launcher → keeper     KeyRequest → HeaderVerdict, then KeyReply          once per job
//   launcher → listener   JobNotice…                                         states, then one end
//   listener → launcher   JobCommand                                         cancel
//   keeper   → module     ModuleRequest  → ModuleReply                       one at a time
#pragma once

#include <array>
#include <cstdint>

#include "attestation/nsm.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "sys/message_socket.h"

namespace cloister::enclave {

inline constexpr std::size_t kMaxArgumentBytes = 32 * 1024;  // all arguments of a job, NULs included
inline constexpr std::size_t kMaxArguments = 1024;
inline constexpr std::size_t kMaxErrorText = 1024;  // bytes of an error's message on the way to the user
inline constexpr std::size_t kMaxNotice = 256;      // bytes of a notice likewise
inline constexpr std::size_t kMaxPackagePrefix =
    66 * 1024;                                         // bytes before a package's content (package/start.h)
inline constexpr std::size_t kContentHeaderSize = 40;  // bytes: Tink's stream header
inline constexpr std::size_t kNonceSize = 32;
inline constexpr std::size_t kAttestationCapacity = 16 * 1024;  // bytes

// A client is the SHA-256 fingerprint of its TLS key's SubjectPublicKeyInfo.
using ClientId = crypto::Sha256;
using JobId = std::uint64_t;

// An error in a fixed struct. kind is an ErrorKind or kNoError.
inline constexpr std::uint32_t kNoError = 0xffffffff;
struct WireError {
  std::uint32_t kind = kNoError;
  sys::FixedText<kMaxErrorText> message;
  sys::FixedText<256> hint;

  void set(const Error& error);
  bool is_error() const { return kind != kNoError; }
  Error to_error() const;  // an unknown kind becomes internal
};

// The signers that a client knows; a package of anybody else is refused.
inline constexpr std::size_t kMaxSigners = 32;
struct PinnedSigners {
  std::uint32_t count = 0;
  std::array<crypto::Sha256, kMaxSigners> fingerprints{};

  bool contains(const crypto::Sha256& signer) const;
};

enum class MonitorCall : std::uint32_t { open_share = 1, start_job = 2 };

struct JobOrder {
  JobId id = 0;
  sys::FixedText<512> package;  // path in the client's share
  sys::FixedText<512> entry;    // path in the package
  sys::FixedText<128> output;   // directory below the share's output/, or empty
  // Directories of the share beyond output/ that the caller lets the application write to, each followed by
  // '/'.
  sys::FixedText<1024> writes;
  PinnedSigners signers;
  std::uint32_t diagnostics = 0;  // 1: a bundle for the owner is wanted
  std::uint32_t argument_count = 0;
  std::uint32_t argument_bytes = 0;
  char arguments[kMaxArgumentBytes] = {};  // each ends with a NUL
};

struct MonitorRequest {
  MonitorCall call{};
  ClientId client{};
  JobOrder job;  // start_job only
};
// open_share: one descriptor, the share server's control channel. start_job: two, the launcher's channel and
// the read end of the application's standard output.
struct MonitorReply {
  WireError error;
};

// What /dev/nsm takes and gives, unparsed.
struct ModuleRequest {
  std::uint32_t size = 0;
  std::uint8_t bytes[attestation::kMaxNsmRequest] = {};
};
struct ModuleReply {
  WireError error;
  std::uint32_t size = 0;
  std::uint8_t bytes[attestation::kMaxNsmResponse] = {};
};

enum class KeeperCall : std::uint32_t { attest = 1, credentials = 2, forget = 3 };
struct KeeperRequest {
  KeeperCall call{};
  std::uint8_t nonce[kNonceSize] = {};  // attest
  std::uint8_t user_data[32] = {};      // attest
  JobId job = 0;                        // credentials, for this job's one Decrypt; forget: theirs
  std::uint32_t fips_endpoint = 0;      // credentials: 1 or 0, as is the next
  std::uint32_t dualstack_endpoint = 0;
  sys::FixedText<160> access_key_id;
  sys::FixedText<256> secret_access_key;
  sys::FixedText<4096> session_token;  // empty: none
};
struct KeeperReply {
  WireError error;
  std::uint32_t document_size = 0;
  std::uint8_t document[kAttestationCapacity] = {};
};

struct NewJob {
  JobId job = 0;
};

struct KeyRequest {
  JobId job = 0;
  PinnedSigners signers;  // one of them must be the header's
  std::uint32_t prefix_size = 0;
  std::uint8_t prefix[kMaxPackagePrefix] = {};
  std::uint8_t content_header[kContentHeaderSize] = {};
};
// Comes before KMS is asked: the header is whole and its signer one of those. Until then the launcher parses
// none of it, and the time that KMS takes is the launcher's to prepare.
struct HeaderVerdict {
  WireError error;
};
// The key of this one stream: the package's data key stays with the keeper.
struct KeyReply {
  WireError error;
  std::uint8_t key[crypto::kGcmKeySize] = {};
  std::uint8_t nonce_prefix[7] = {};
  sys::FixedText<kMaxNotice> notice;  // what the caller should know of the exchange; empty: nothing
};

enum class JobState : std::uint32_t { starting = 1, unpacking, running, exited, failed, cancelled };
std::string_view to_string(JobState state);
inline bool has_ended(JobState state) {
  return state >= JobState::exited;
}

// With a notice of the end may come one descriptor: the diagnostic bundle, a file in memory.
struct JobNotice {
  JobState state{};
  std::int32_t exit_code = 0;  // exited: the application's. failed: 125, 126 or 127
  WireError error;             // failed
  sys::FixedText<128> name;    // from `unpacking` on: the verified header's
  sys::FixedText<128> release;
  crypto::Sha256 signer{};
  sys::FixedText<512> weaker;         // running: the walls that this kernel or host lacks, and why
  sys::FixedText<kMaxNotice> notice;  // unpacking: KeyReply's
};

enum class JobCommandKind : std::uint32_t { cancel = 1 };
struct JobCommand {
  JobCommandKind kind{};
};

}  // namespace cloister::enclave
