// The tables of a zip archive: bytes to values, and the checks between them.
#pragma once

#include <string>
#include <vector>

#include "host/zip_archive.h"

namespace cloister::host {

struct ZipEntry {
  std::string name;  // as in the archive, a directory's with its slash
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t when = 0;       // time and date of MS-DOS
  std::uint64_t header_at = 0;  // of the local header
  ZipMember member;
};

struct ZipDirectory {
  std::uint64_t at = 0;  // where the central directory begins
  std::vector<ZipEntry> entries;
};

// The central directory, each entry by itself checked.
Result<ZipDirectory> read_zip_directory(int fd, std::uint64_t file_size);

// Holds each member's local header against its entry, fills in where its data are, and sees to it that
// members follow each other without a gap up to the central directory.
Status check_zip_layout(int fd, ZipDirectory& directory);

}  // namespace cloister::host
