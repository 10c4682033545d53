// Installation: the data directory of an embedded KMS.
//
//   master.key   32 random bytes, 0600: wraps every secret in the database
//   kms.db       the store; its presence says that the directory is complete
//   server.pem, server.key   certificate and key of HTTPS; ca.pem is what clients trust. The CA's own key is
//   not kept. owner.env, user.env      shell lines for the two sides, 0600 lock, kms.log
#pragma once

#include <memory>
#include <string>

#include "emulator/server.h"
#include "emulator/store.h"

namespace cloister::emulator {

inline constexpr std::string_view kOwnerName = "owner";        // IAM user that makes and manages keys
inline constexpr std::string_view kHostName = "enclave-host";  // IAM role of the machine that runs enclaves

class Installation {
 public:
  // Makes everything that is missing. invalid: malformed settings. The result says whether something was
  // made: a complete directory is left alone.
  static Result<bool> init(const std::string& directory, const Settings& settings, sys::UnixMillis now);
  // not_found: no complete installation there.
  static Result<Installation> open(const std::string& directory);

  Store& store() { return *store_; }
  const std::string& directory() const { return directory_; }  // absolute
  Result<ServerIdentity> identity() const;

  static std::string lock_path(const std::string& directory) { return directory + "/lock"; }
  static std::string log_path(const std::string& directory) { return directory + "/kms.log"; }

 private:
  Installation(std::string directory, std::unique_ptr<Store> store)
      : directory_(std::move(directory)), store_(std::move(store)) {}
  std::string directory_;
  std::unique_ptr<Store> store_;
};

}  // namespace cloister::emulator
