// For tests/interop/test_tink.py: our streaming AEAD on files.
//   stream_tool encrypt|decrypt KEY_HEX ASSOCIATED_DATA_FILE < input > output
// The stream header is the first 40 bytes of the ciphertext. Keys on a command line are for tests alone.
#include <unistd.h>

#include <cstdio>

#include "package/keys.h"
#include "package/stream_reader.h"
#include "package/stream_writer.h"
#include "sys/file.h"

namespace {

using namespace cloister;
using namespace cloister::package;

constexpr std::size_t kMaxAssociated = 1024 * 1024;  // bytes
constexpr std::size_t kMaxInput = 64 * 1024 * 1024;  // bytes

Status write_out(ByteView bytes) {
  return sys::write_all(STDOUT_FILENO, bytes, "output");
}

Status encrypt(const Secret& key, ByteView associated) {
  auto plaintext = TRY(sys::read_all(STDIN_FILENO, kMaxInput, "input"));
  auto header = make_stream_header();
  TRY(write_out(header));
  auto stream_key = TRY(derive_stream_key(key, associated, header));
  SegmentWriter writer(stream_key, write_out);
  TRY(writer.write(plaintext));
  return writer.finish();
}

Status decrypt(const Secret& key, ByteView associated) {
  Bytes header(kStreamHeaderSize);
  for (std::size_t done = 0; done < header.size();) {
    auto n = ::read(STDIN_FILENO, header.data() + done, header.size() - done);
    if (n <= 0) return fail(ErrorKind::corrupt, "no stream header");
    done += static_cast<std::size_t>(n);
  }
  auto stream_key = TRY(derive_stream_key(key, associated, header));
  TRY(decrypt_segments(STDIN_FILENO, stream_key, write_out));
  return {};
}

Status run(int argc, char** argv) {
  if (argc != 4)
    return fail(ErrorKind::invalid, "usage: stream_tool encrypt|decrypt KEY_HEX ASSOCIATED_DATA_FILE");
  Secret key(TRY(from_hex(argv[2])));
  auto associated = TRY(sys::read_file(argv[3], kMaxAssociated));
  return std::string_view(argv[1]) == "encrypt" ? encrypt(key, associated) : decrypt(key, associated);
}

}  // namespace

int main(int argc, char** argv) {
  auto status = run(argc, argv);
  if (status) return 0;
  std::fprintf(stderr, "stream_tool: %s\n", status.error().message().c_str());
  return 1;
}
