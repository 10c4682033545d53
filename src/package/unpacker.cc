#include "package/unpacker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sys/file.h"

namespace cloister::package {

namespace {

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

struct Place {
  std::string parent;  // "" for the target itself
  std::string name;
};

Place place_of(const std::string& path) {
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::unexpected<Error> fail_create(const std::string& path) {
  if (errno == EEXIST) return fail(ErrorKind::corrupt, "tar: {} stands there twice", path);
  return fail_errno(path);
}

// The parent must have been made by an earlier member.
Result<sys::Fd> open_parent(const sys::Dir& target, const std::string& parent) {
  if (!parent.empty())
    return target.open_at(parent, O_PATH | O_DIRECTORY | O_NOFOLLOW).context("tar: a parent directory");
  sys::Fd self(::openat(target.descriptor(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!self) return fail_errno("target directory");
  return self;
}

// The owner may always enter and fill a directory, else its own members could not follow.
Status make_directory(const sys::Dir& target, const std::string& path, std::uint32_t mode) {
  auto place = place_of(path);
  auto parent = TRY(open_parent(target, place.parent));
  if (::mkdirat(parent.get(), place.name.c_str(), 0700) != 0) return fail_create(path);
  auto made = TRY(target.open_dir(path));
  if (::fchmod(made.descriptor(), (mode & 0777) | 0700) != 0) return fail_errno(path);
  return {};
}

// O_EXCL follows no link, and the parent was reached by none.
Result<sys::Fd> make_file(const sys::Dir& target, const std::string& path) {
  auto place = place_of(path);
  auto parent = TRY(open_parent(target, place.parent));
  sys::Fd made(
      ::openat(parent.get(), place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!made) return fail_create(path);
  return made;
}

Status make_symlink(const sys::Dir& target, const TarEntry& entry) {
  auto place = place_of(entry.path);
  auto parent = TRY(open_parent(target, place.parent));
  if (::symlinkat(entry.link.c_str(), parent.get(), place.name.c_str()) != 0) return fail_create(entry.path);
  return {};
}

bool is_reserved(std::string_view path) {
  return path == kReservedDirectory || path.starts_with(std::string(kReservedDirectory) + "/");
}

}  // namespace

Status Unpacker::write(ByteView bytes) {
  while (!bytes.empty()) bytes = bytes.subspan(TRY(step(bytes)));
  return {};
}

Result<Unpacked> Unpacker::finish() {
  if (state_ != State::trailer || trailer_ < 2 * kTarBlock || trailer_ % kTarBlock != 0) {
    return fail(ErrorKind::corrupt, "tar: the stream ends too early");
  }
  return done_;
}

Result<std::size_t> Unpacker::step(ByteView bytes) {
  switch (state_) {
    case State::header:
      return gather(bytes, kTarBlock);
    case State::pax:
      return gather(bytes, pax_size_ + tar_padding(pax_size_));
    case State::content:
      return on_content(bytes);
    case State::padding:
      return on_padding(bytes);
    case State::trailer:
      return on_trailer(bytes);
  }
  return fail(ErrorKind::internal, "tar: no such state");
}

// Collects a block or a pax header whole, then acts on it.
Result<std::size_t> Unpacker::gather(ByteView bytes, std::size_t wanted) {
  auto taken = bytes.first(std::min(bytes.size(), wanted - gathered_.size()));
  append(gathered_, taken);
  if (gathered_.size() == wanted) {
    auto block = std::exchange(gathered_, {});
    TRY(state_ == State::header ? on_block(block) : on_pax(block));
  }
  return taken.size();
}

Status Unpacker::on_block(ByteView block) {
  if (all_zero(block)) {
    if (records_) return fail(ErrorKind::corrupt, "tar: a pax header without its member");
    state_ = State::trailer;
    trailer_ = block.size();
    return {};
  }
  auto entry = TRY(parse_tar_block(block, records_.value_or(PaxRecords{})));
  if (entry.type != TarType::pax) {
    records_.reset();
    return on_entry(std::move(entry));
  }
  if (records_) return fail(ErrorKind::corrupt, "tar: two pax headers for one member");
  if (entry.size == 0 || entry.size > kMaxPaxHeader) {
    return fail(ErrorKind::exhausted, "tar: a pax header of {} bytes (up to {} allowed)", entry.size,
                kMaxPaxHeader);
  }
  pax_size_ = static_cast<std::size_t>(entry.size);
  state_ = State::pax;
  return {};
}

Status Unpacker::on_pax(ByteView padded) {
  if (!all_zero(padded.subspan(pax_size_))) return fail(ErrorKind::corrupt, "tar: padding that is not zero");
  records_ = TRY(parse_pax(padded.first(pax_size_)));
  state_ = State::header;
  return {};
}

Status Unpacker::on_entry(TarEntry entry) {
  TRY(account(entry));
  entry_ = std::move(entry);
  state_ = State::header;
  if (is_reserved(entry_.path)) TRY(begin_manifest());
  switch (entry_.type) {
    case TarType::directory:
      return make_directory(target_, entry_.path, entry_.mode);
    case TarType::symlink:
      return make_symlink(target_, entry_);
    default:
      return begin_file();
  }
}

Status Unpacker::account(const TarEntry& entry) {
  if (++done_.entries > limits_.max_entries) {
    return fail(ErrorKind::exhausted, "the package holds more than {} files and directories",
                limits_.max_entries);
  }
  // Sizes are at most kMaxTarFile, so rounding up cannot overflow.
  auto cost = unpacked_cost(entry.size);
  if (cost > limits_.max_bytes || cost_ > limits_.max_bytes - cost) {
    return fail(ErrorKind::exhausted, "the package unpacks to more than {} bytes", limits_.max_bytes);
  }
  cost_ += cost;
  done_.bytes += entry.size;
  return {};
}

// The one member below .cloister: it comes first, and its directory is made for it.
Status Unpacker::begin_manifest() {
  if (done_.entries != 1 || entry_.path != kManifestPath || entry_.type != TarType::file ||
      entry_.size > kMaxManifest) {
    return fail(ErrorKind::invalid, "tar: {} is not allowed there", entry_.path);
  }
  done_.manifest = true;
  return make_directory(target_, std::string(kReservedDirectory), 0700);
}

Status Unpacker::begin_file() {
  file_ = TRY(make_file(target_, entry_.path));
  left_ = entry_.size;
  state_ = State::content;
  return left_ == 0 ? end_file() : Status{};
}

Result<std::size_t> Unpacker::on_content(ByteView bytes) {
  auto taken = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
  TRY(sys::write_all(file_.get(), taken, entry_.path));
  left_ -= taken.size();
  if (left_ == 0) TRY(end_file());
  return taken.size();
}

// Times are kept: Python, for one, trusts its compiled files by them.
Status Unpacker::end_file() {
  timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                       {.tv_sec = static_cast<time_t>(entry_.mtime), .tv_nsec = 0}};
  if (::futimens(file_.get(), times) != 0) return fail_errno(entry_.path);
  if (::fchmod(file_.get(), entry_.mode & 0777) != 0) return fail_errno(entry_.path);
  file_.reset();
  left_ = tar_padding(entry_.size);
  state_ = left_ == 0 ? State::header : State::padding;
  return {};
}

Result<std::size_t> Unpacker::on_padding(ByteView bytes) {
  auto taken = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
  if (!all_zero(taken)) return fail(ErrorKind::corrupt, "tar: padding that is not zero");
  left_ -= taken.size();
  if (left_ == 0) state_ = State::header;
  return taken.size();
}

Result<std::size_t> Unpacker::on_trailer(ByteView bytes) {
  if (!all_zero(bytes)) return fail(ErrorKind::corrupt, "tar: data after the end");
  if (bytes.size() > kMaxTarTrailer - trailer_)
    return fail(ErrorKind::corrupt, "tar: more than {} bytes after the end", kMaxTarTrailer);
  trailer_ += bytes.size();
  return bytes.size();
}

}  // namespace cloister::package
