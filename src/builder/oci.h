// Container images without a container engine: an OCI layout (folder or tar) or what `docker save` writes.
// OCI image specification 1.1: image-layout.md, manifest.md, layer.md.
#pragma once

#include <string>

#include "builder/work.h"
#include "image/tree.h"

namespace cloister::builder {

inline constexpr std::size_t kMaxOciJson = 4 * 1024 * 1024;  // bytes of an index, manifest, configuration
inline constexpr std::size_t kMaxLayers = 256;
inline constexpr std::uint64_t kMaxLayer = std::uint64_t{16} << 30;    // bytes, unpacked
inline constexpr std::uint64_t kMaxArchive = std::uint64_t{32} << 30;  // bytes, of a tar's members

// Puts an image's layers into the tree, lowest first. `architecture` as in OCI ("amd64"): chosen from an
// index of several. Every blob is compared with the digest that names it, every layer also with the
// configuration's diff_id. invalid: not such an image, or none for this architecture; corrupt: a digest that
// does not fit.
Status apply_oci(const std::string& path, const std::string& architecture, image::FileTree& tree,
                 image::Spool& spool);

}  // namespace cloister::builder
