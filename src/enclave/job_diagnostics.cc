#include "enclave/job_diagnostics.h"

#include <sys/mman.h>
#include <unistd.h>

#include "package/diagnostics.h"
#include "sys/file.h"

namespace cloister::enclave {

void JobDiagnostics::add(ByteView standard_error) {
  append(kept_, standard_error);
  if (kept_.size() <= 2 * package::kMaxDiagnosticStderr) return;
  auto excess = kept_.size() - package::kMaxDiagnosticStderr;
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(excess));
  dropped_ += excess;
}

Result<sys::Fd> JobDiagnostics::bundle(const package::Header& header, std::string entry,
                                       std::string end) const {
  const auto& owner = header.public_manifest.terms.owner_key;
  if (!owner) return fail(ErrorKind::invalid, "the manifest names no owner's key");
  package::Diagnostics diagnostics{.name = header.name,
                                   .release = header.release,
                                   .signer = header.signer_fingerprint(),
                                   .entry = std::move(entry),
                                   .end = std::move(end),
                                   .standard_error = kept_,
                                   .dropped = dropped_};
  auto sealed = TRY(diagnostics.seal(*owner));
  sys::Fd file(::memfd_create("diagnostics", MFD_CLOEXEC));
  if (!file) return fail_errno("memfd_create");
  TRY(sys::write_all(file.get(), sealed, "diagnostics"));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("diagnostics");
  return file;
}

}  // namespace cloister::enclave
