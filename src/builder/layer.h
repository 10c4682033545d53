// A tar file as a layer on top of a tree: what mmdebstrap makes, and what OCI and Docker images are made of.
// Read by libarchive; what comes out is judged here.
#pragma once

#include <string>

#include "image/tree.h"

namespace cloister::builder {

struct LayerRules {
  // ".wh.NAME" removes NAME of the layers below, ".wh..wh..opq" all that they have in that directory
  // (OCI image specification, "Whiteouts").
  bool whiteouts = false;
};

// Adds the (uncompressed) tar file's entries to the tree, contents to the spool. Owners and permissions stay
// as they are; setuid and setgid go, for nothing in an enclave may gain by them. invalid: a name that is
// absolute or leads out, a hard link to what is not there, a fifo; corrupt: not a tar file; exhausted: a
// limit of the tree.
Status apply_layer(const std::string& tar_file, const LayerRules& rules, image::FileTree& tree,
                   image::Spool& spool);

// What is below these holds nothing that an image keeps: the enclave mounts file systems of its own there.
bool is_mount_point_content(std::string_view path);

}  // namespace cloister::builder
