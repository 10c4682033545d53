// What is known of a machine before an enclave is started on it, and of what is to run there. Facts only:
// gather.h reads them, checks.h judges them, and tests make up those of machines that they don't have.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/nitro_host.h"
#include "image/eif_format.h"
#include "image/memory.h"

namespace cloister::doctor {

// What the person wants to do.
struct Asked {
  std::string backend = "process";
  std::string name = "default";
  std::string image;  // path; empty: none
  std::string package;
  std::string data;
  std::uint64_t memory_mib = 0;  // 0: what the image asks for
  std::uint64_t cpus = 0;        // likewise
  bool starting = false;         // options of `up` were given: it is about to be started
};

struct Machine {
  image::Architecture architecture = image::Architecture::x86_64;
  std::string kernel = "6.12.0";  // as uname -r says it
  unsigned kernel_major = 6;
  unsigned kernel_minor = 12;
  std::uint32_t uid = 0;
  std::string user = "root";
  bool user_namespaces = true;
  bool landlock = true;
  bool cgroup_memory = true;  // cgroup v2 with the controllers memory and pids
  std::uint64_t memory_mib = 16384;
  std::uint64_t available_mib = 12288;
  std::uint64_t cpus = 4;
  bool python = true;  // /usr/bin/python3
  bool fuse = true;    // /dev/fuse
  bool kvm = true;     // /dev/kvm, which this user may open
  bool vsock = true;   // /dev/vsock
  bool container = false;
  std::optional<bool> fusermount = true;  // whether it is setuid root; absent: there is none
};

// For the backend qemu.
struct Qemu {
  std::string missing;    // what cannot be found, and why; empty: all is there
  std::string hint;       // how to get it
  unsigned version = 11;  // major; 0: it does not say
};

// For the backend nitro.
struct Nitro {
  host::NitroHost host;
  std::string cli_version;   // empty: there is none, or it does not run
  bool cli = true;           // found
  bool group_exists = true;  // the device's group
  bool member = true;        // the user is listed in it
  bool member_now = true;    // and this login has it
};

struct Image {
  std::string error;  // why it cannot be used; then nothing else counts
  std::string hint;
  image::Architecture architecture = image::Architecture::x86_64;
  std::string mode;  // production or emulated; empty: it does not say
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_mib = 0;  // what it asks for
  std::uint64_t cpus = 0;        // likewise
  image::Footprint footprint;
};

struct Package {
  std::string error;
  std::string hint;
  std::string name;
  std::uint64_t content_bytes = 0;  // encrypted and packed
  std::uint64_t memory_limit_mib = 0;
  bool limit_is_default = true;
  std::string region;  // of its key; empty: the ARN is malformed
  bool signer_known = true;
};

struct Data {
  std::string error;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;  // in whole pages
};

struct Credentials {
  std::string source;  // as messages call it; empty: none
  std::string error;   // why they cannot be used; empty: they can
  std::string hint;
  std::optional<std::int64_t> seconds_left;  // absent: they do not expire
};

// The metadata service of an EC2 instance. Absent: this is none, or it was not asked.
struct Metadata {
  bool reached = true;         // somebody took the connection
  int token_status = 200;      // of the question for a session token; 0: no answer came
  bool without_token = false;  // it answers without one, too (IMDSv1)
  std::optional<std::string> role = "enclave-host";
};

struct Kms {
  std::string host;
  bool embedded = false;                      // AWS_ENDPOINT_URL_KMS names it
  bool authority_set = true;                  // AWS_CA_BUNDLE
  std::string error;                          // why nothing came back; empty: an answer did
  std::optional<std::int64_t> ahead_seconds;  // this machine's clock before KMS's; absent: it did not say
  // Of a Decrypt with DryRun of the package's key, as the caller and without an enclave. Empty: not asked.
  std::string dry_run;  // the exception's name
  std::string dry_run_message;
  std::string key_account;  // of that key
};

// The enclave of that name.
struct Running {
  bool alive = false;
  std::string backend;
  bool proxy = false;
  std::vector<std::string> destinations;  // of the proxy, HOST:PORT
};

struct Space {
  std::string path;  // what was asked for
  std::uint64_t free_mib = 0;
};

struct Facts {
  Asked asked;
  Machine machine;
  Qemu qemu;
  Nitro nitro;
  std::optional<Image> image;
  std::optional<Package> package;
  std::optional<Data> data;
  std::optional<Credentials> credentials;
  std::string region;                  // empty: none is set
  std::string region_error;            // and why
  std::vector<std::string> kms_names;  // HOST:PORT by which an enclave may ask for KMS in the key's region
  std::optional<Metadata> metadata;
  std::optional<Kms> kms;
  std::optional<Running> running;
  std::optional<Space> run_directory;  // where a running enclave's files are
};

}  // namespace cloister::doctor
