#include "host/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <set>

#include "host/zip_directory.h"
#include "sys/read_at.h"

namespace cloister::host {

namespace {

constexpr std::size_t kChunk = 256 * 1024;  // bytes, of the archive and of what is unpacked
constexpr std::uint32_t kImpliedMode = 0755;
constexpr std::size_t kMaxImpliedDirectories = 65535;

std::unexpected<Error> damaged(const std::string& path) {
  return fail(ErrorKind::corrupt, "zip: '{}': its content is damaged", path);
}

// Counts and sums what passes; a byte too many is refused before it is passed on.
class Measured {
 public:
  Measured(const std::string& path, const ZipMember& member, const package::Sink& sink)
      : path_(path), member_(member), sink_(sink) {}

  Status write(ByteView bytes) {
    if (bytes.size() > member_.size - done_) return damaged(path_);
    done_ += bytes.size();
    crc_ = ::crc32_z(crc_, bytes.data(), bytes.size());
    return bytes.empty() ? Status{} : sink_(bytes);
  }
  Status finish() const {
    return done_ == member_.size && crc_ == member_.crc ? Status{} : Status(damaged(path_));
  }

 private:
  const std::string& path_;
  const ZipMember& member_;
  const package::Sink& sink_;
  std::uint64_t done_ = 0;
  unsigned long crc_ = 0;
};

struct EndInflate {
  void operator()(z_stream* stream) const {
    ::inflateEnd(stream);
    delete stream;  // NOLINT(cppcoreguidelines-owning-memory)
  }
};

// One raw deflate stream (RFC 1951), in pieces.
class Inflater {
 public:
  Inflater() : stream_(new z_stream{}), out_(kChunk) {
    ok_ = ::inflateInit2(stream_.get(), -MAX_WBITS) == Z_OK;
  }

  Status write(ByteView in, Measured& to, const std::string& path) {
    stream_->next_in = const_cast<std::uint8_t*>(in.data());
    stream_->avail_in = static_cast<unsigned>(in.size());
    while (stream_->avail_in > 0 || stream_->avail_out == 0) {
      stream_->next_out = out_.data();
      stream_->avail_out = static_cast<unsigned>(out_.size());
      int code = ok_ && !ended_ ? ::inflate(stream_.get(), Z_NO_FLUSH) : Z_DATA_ERROR;
      if (code == Z_BUF_ERROR) return {};  // it wants more, and there is nothing left to say
      if (code != Z_OK && code != Z_STREAM_END) return damaged(path);
      ended_ = code == Z_STREAM_END;
      TRY(to.write(ByteView(out_).first(out_.size() - stream_->avail_out)));
      if (ended_ && stream_->avail_in == 0) return {};
    }
    return {};
  }
  bool ended() const { return ended_; }

 private:
  std::unique_ptr<z_stream, EndInflate> stream_;
  Bytes out_;
  bool ok_ = false;
  bool ended_ = false;
};

// The directories on the way to a member, where the archive has none for them.
Status add_parents(ZipArchive::Members& members) {
  std::set<std::string> missing;
  for (const auto& [path, member] : members) {
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      auto parent = path.substr(0, slash);
      auto found = members.find(parent);
      if (found == members.end())
        missing.insert(std::move(parent));
      else if (found->second.type != package::TarType::directory)
        return fail(ErrorKind::corrupt, "zip: '{}' is a file, and '{}' is below it", parent, path);
      if (missing.size() > kMaxImpliedDirectories)
        return fail(ErrorKind::exhausted, "zip: more than {} directories without a member of their own",
                    kMaxImpliedDirectories);
    }
  }
  for (const auto& path : missing)
    members.emplace(path, ZipMember{.type = package::TarType::directory, .mode = kImpliedMode});
  return {};
}

}  // namespace

bool TreeOrder::operator()(std::string_view a, std::string_view b) const {
  auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c); };  // names hold no NUL
  return std::ranges::lexicographical_compare(a, b, {}, rank, rank);
}

Result<ZipArchive> ZipArchive::open(sys::Fd file) {
  ZipArchive archive(std::move(file));
  auto size = TRY(sys::regular_size(archive.file_.get(), "zip"));
  auto directory = TRY(read_zip_directory(archive.file_.get(), size));
  TRY(check_zip_layout(archive.file_.get(), directory));
  for (auto& entry : directory.entries) {
    auto path = entry.name.ends_with('/') ? entry.name.substr(0, entry.name.size() - 1) : entry.name;
    if (!archive.members_.emplace(path, entry.member).second)
      return fail(ErrorKind::corrupt, "zip: '{}' is there twice", path);
  }
  TRY(add_parents(archive.members_));
  return archive;
}

Status ZipArchive::extract(const std::string& path, const package::Sink& sink) const {
  auto found = members_.find(path);
  if (found == members_.end()) return fail(ErrorKind::not_found, "zip: no '{}'", path);
  const auto& member = found->second;
  Measured out(path, member, sink);
  Inflater inflater;
  Bytes buffer(kChunk);
  for (std::uint64_t done = 0; done < member.packed; done += buffer.size()) {
    buffer.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, member.packed - done)));
    TRY(sys::read_at(file_.get(), member.data_at + done, buffer, path));
    TRY(member.deflated ? inflater.write(buffer, out, path) : out.write(buffer));
  }
  if (member.deflated && !inflater.ended()) return damaged(path);
  return out.finish();
}

}  // namespace cloister::host
