// The files that are to be used: image, package, data, and the room for what an enclave writes here.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "doctor/gather.h"
#include "host/backend.h"
#include "host/image_footprint.h"
#include "host/known_signers.h"
#include "host/proxy_process.h"
#include "http/json.h"
#include "image/eif_metadata.h"
#include "kms/arn.h"
#include "package/start.h"

namespace cloister::doctor {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMebibyte = 1024 * 1024;  // bytes
constexpr std::uint64_t kPage = 4096;             // bytes

// What the image says of itself; nothing measures it, and nothing hangs on it here but a warning.
std::string mode_of(const image::Eif& image) {
  auto bytes = image.metadata();
  if (!bytes) return "";
  auto metadata = image::EifMetadata::parse(as_text(*bytes));
  if (!metadata) return "";
  auto custom = http::parse_json(metadata->custom);
  if (!custom || !custom->is_object()) return "";
  const auto* mode = http::find_text(*custom, "mode");
  return mode == nullptr ? "" : std::string(mode->data(), mode->size());
}

Result<Image> read_image(const std::string& path) {
  auto opened = TRY(image::Eif::open(path));
  Image out;
  out.footprint = TRY(host::footprint_of(opened));
  out.architecture = opened.architecture();
  out.mode = mode_of(opened);
  out.file_bytes = opened.file_size();
  out.memory_mib = opened.default_memory() / kMebibyte;
  out.cpus = opened.default_cpus();
  return out;
}

Result<Package> read_package(const Edges& edges, const std::string& path) {
  sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return fail_errno(path);
  auto start = TRY(package::read_start(file.get()).context(path));
  TRY(start.header.verify_signature().context(path));
  auto here = ::lseek(file.get(), 0, SEEK_CUR);
  auto end = ::lseek(file.get(), 0, SEEK_END);
  if (here < 0 || end < here) return fail_errno(path);
  Package out;
  out.name = fmt::format("{} {}", start.header.name, start.header.release);
  out.content_bytes = static_cast<std::uint64_t>(end - here);
  out.memory_limit_mib = start.header.public_manifest.terms.limits.memory_mib;
  out.limit_is_default = out.memory_limit_mib == package::kDefaultMemoryMib;
  if (auto key = kms::KeyArn::parse(start.header.key_arn)) out.region = key->region;
  auto known = TRY(host::KnownSigners::load(edges.paths.known_signers()));
  out.signer_known = known.find(start.header.signer_fingerprint()).has_value();
  return out;
}

Status add_entry(const fs::directory_entry& entry, Data& out) {
  std::error_code error;
  auto type = entry.symlink_status(error).type();
  std::uint64_t size = type == fs::file_type::regular ? entry.file_size(error) : 0;
  if (error) return fail(ErrorKind::system, "{}: {}", entry.path().native(), error.message());
  if (++out.files > kMaxDataFiles) return fail(ErrorKind::exhausted, "more than {} files", kMaxDataFiles);
  out.bytes += (size + kPage - 1) / kPage * kPage;
  return {};
}

Result<Data> read_data(const std::string& path) {
  Data out;
  std::error_code error;
  fs::recursive_directory_iterator at(path, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) TRY(add_entry(*at, out));
  if (error) return fail(ErrorKind::system, "{}: {}", path, error.message());
  return out;
}

}  // namespace

Image gather_image(const std::string& path) {
  auto read = read_image(path);
  if (read) return std::move(*read);
  return Image{.error = read.error().message(), .hint = read.error().hint()};
}

Package gather_package(const Edges& edges, const std::string& path) {
  auto read = read_package(edges, path);
  if (read) return std::move(*read);
  return Package{.error = read.error().message(), .hint = read.error().hint()};
}

Data gather_data(const std::string& path) {
  auto read = read_data(path);
  return read ? *read : Data{.error = read.error().message()};
}

std::optional<Space> gather_space(const std::string& path) {
  // It may not be there yet: then it will be where its parent is.
  std::error_code error;
  fs::path there(path);
  while (!there.empty() && !fs::exists(there, error) && there != there.parent_path())
    there = there.parent_path();
  struct statvfs about{};
  if (there.empty() || ::statvfs(there.c_str(), &about) != 0) return std::nullopt;
  return Space{.path = path, .free_mib = std::uint64_t{about.f_bavail} * about.f_frsize / kMebibyte};
}

std::optional<Running> gather_running(const Edges& edges, const std::string& name) {
  auto record = host::read_record(edges.paths, name);
  if (!record) return std::nullopt;
  Running out{.alive = host::state_of(*record, edges.environment).running, .backend = record->backend};
  auto proxy = host::running_proxy(edges.paths, name);
  out.proxy = proxy.has_value();
  if (proxy) out.destinations = proxy->destinations;
  return out;
}

}  // namespace cloister::doctor
