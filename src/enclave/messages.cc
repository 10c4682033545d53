#include "enclave/messages.h"

namespace cloister::enclave {

namespace {

// A message too long for its field is cut: an error must arrive, whatever it says.
template <std::size_t N>
void set_cut(sys::FixedText<N>& field, std::string text) {
  std::replace(text.begin(), text.end(), '\0', ' ');
  text.resize(std::min(text.size(), N - 1));
  (void)field.set(text, "text").has_value();
}

}  // namespace

void WireError::set(const Error& error) {
  kind = static_cast<std::uint32_t>(error.kind());
  set_cut(message, error.message());
  set_cut(hint, error.hint());
}

Error WireError::to_error() const {
  bool known = kind <= static_cast<std::uint32_t>(ErrorKind::internal);
  Error error(known ? static_cast<ErrorKind>(kind) : ErrorKind::internal, std::string(message.view()));
  return std::move(error).with_hint(std::string(hint.view()));
}

bool PinnedSigners::contains(const crypto::Sha256& signer) const {
  auto end = fingerprints.begin() + std::min<std::size_t>(count, fingerprints.size());
  return std::find(fingerprints.begin(), end, signer) != end;
}

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::starting:
      return "starting";
    case JobState::unpacking:
      return "unpacking";
    case JobState::running:
      return "running";
    case JobState::exited:
      return "exited";
    case JobState::failed:
      return "failed";
    case JobState::cancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace cloister::enclave
