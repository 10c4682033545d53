// Where an image's root file system comes from, one function per source. All of them add to a tree.
#pragma once

#include "builder/recipe.h"
#include "builder/work.h"
#include "image/tree.h"

namespace cloister::builder {

// A folder of this machine. Owner 0:0; files are 0755 where their owner may run them, else 0644, and folders
// 0755: neither who checked them out nor their umask shows. invalid: devices, sockets, fifos.
Status apply_directory(const std::string& path, image::FileTree& tree, image::Spool& spool);

// One file, or a folder and all that is in it, as the recipe's `files` say.
Status apply_file(const CopiedFile& file, image::FileTree& tree, image::Spool& spool);

// Debian packages by mmdebstrap, less what left_out() names. Nothing of this machine is in it but apt's
// settings for reaching a mirror. CLOISTER_DEBIAN_MIRROR names another than deb.debian.org.
Status apply_debian(const DebianBase& base, image::Architecture architecture, const WorkFolder& work,
                    const Say& say, image::FileTree& tree, image::Spool& spool);
// What of Debian's packages no enclave needs, or differs from one build to the next.
bool left_out(std::string_view path);

// Wheels of a requirements file into /usr/local/lib/python3.X/dist-packages, for the Python that is in the
// tree. invalid: a requirement without a hash, unless `unpinned`; no Python in the tree.
Status apply_pip(const Recipe& recipe, const WorkFolder& work, const Say& say, image::FileTree& tree,
                 image::Spool& spool);

// The kernel that the recipe names, or Cloister's own, compiled where the cache has none: its path.
Result<std::string> find_kernel(const Recipe& recipe, const WorkFolder& work, const Say& say);

}  // namespace cloister::builder
