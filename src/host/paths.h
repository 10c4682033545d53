// Where things live on the host. Three directories, each movable by a variable, so that several people or
// tests share a machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kms/credentials.h"

namespace cloister::host {

using kms::Environment;

struct Paths {
  std::string
      home;  // the person's: client key, signing key, known signers. CLOISTER_HOME, else ~/.config/cloister
  std::string state;  // the machine's: development root, trust files. CLOISTER_STATE, else /var/lib/cloister
                      // or ~/.local/share/cloister
  std::string run;    // running enclaves. CLOISTER_RUN, else /run/cloister or $XDG_RUNTIME_DIR/cloister
  // Where enclaves that somebody else has started are looked for, after `run`: what follows a colon in
  // CLOISTER_RUN, else /run/cloister for whoever is not root.
  std::vector<std::string> also_run;

  // invalid: none of the variables that say where home is.
  static Result<Paths> find(const Environment& environment, bool root);

  std::string client_key() const { return home + "/client-key.pem"; }
  std::string signing_key() const { return home + "/signing-key.pem"; }
  std::string diagnostics_key() const { return home + "/diagnostics-key.pem"; }
  std::string known_signers() const { return home + "/known_signers"; }
  std::string development_root() const { return state + "/development-root"; }
  std::string enclave(std::string_view name) const { return run + "/" + std::string(name); }
};

// A name of an enclave: 1 to 32 of [a-z0-9-].
Status check_enclave_name(std::string_view name);

}  // namespace cloister::host
