// The trust file of an image (docs/formats/trust.md), for recipes that name none.
#pragma once

#include <string>

#include "builder/recipe.h"

namespace cloister::builder {

// A production image believes AWS's own endpoints, an emulated one the embedded KMS's; the authorities are
// those of `kms_ca` (PEM).
std::string compose_trust(Mode mode, std::string_view kms_ca_pem);
// The given file's text, once its mode is the recipe's: an image whose supervisor would refuse to start is
// not built.
Result<std::string> check_trust(const std::string& path, Mode mode);

}  // namespace cloister::builder
