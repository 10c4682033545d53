// Steps of assemble_root(), apart from it so that each stays small. Private to this room.
#pragma once

#include "base/result.h"
#include "sandbox/root.h"
#include "sys/dir.h"

namespace cloister::sandbox {

// "/a/b" → "a/b", every component checked. invalid: not absolute, "..", "//", the root itself.
Result<std::string> relative_target(const std::string& target);

// Creates what is missing of the directories above `relative`, following no symlink.
Status make_parents(const sys::Dir& root, const std::string& relative);

// An O_PATH descriptor of the place to mount on: created as a directory or as an empty file where it is
// missing.
Result<sys::Fd> mount_place(const sys::Dir& root, const std::string& relative, bool directory);

Status make_symlink(const sys::Dir& root, const Symlink& link);
Status make_text_file(const sys::Dir& root, const TextFile& file);
Status place_mount(const sys::Dir& root, const Mount& mount);
// The minimal /dev.
Status place_devices(const sys::Dir& root, const RootPlan& plan);

// The fsopen(2) options of a tmpfs.
Result<sys::Fd> new_tmpfs(const TmpfsOptions& options, std::uint64_t attributes);

}  // namespace cloister::sandbox
