#include "enclave/keeper.h"

#include <poll.h>

#include <array>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "enclave/key_release.h"

namespace cloister::enclave {

namespace {

constexpr std::size_t kKeysAhead = 2;
constexpr int kSweepPause = 5000;  // milliseconds between two looks at what has expired
constexpr sys::milliseconds kKeyRequestTimeout = sys::seconds(30);  // from a launcher's start to its request

Secret secret_of(std::string_view text) {
  return Secret(as_bytes(text));
}

// Credentials, and where they go, on their way from a client's request to the one KMS call they are for.
// Thread-safe.
class PendingCredentials {
 public:
  Status put(JobId job, KmsAccess access) {
    std::lock_guard lock(mutex_);
    drop_expired();
    if (pending_.size() >= kMaxJobsAtOnce)
      return fail(ErrorKind::exhausted, "{} jobs wait for their keys", kMaxJobsAtOnce);
    pending_.insert_or_assign(job, Entry{std::move(access), sys::Deadline::after(kCredentialsLifetime)});
    return {};
  }
  Result<KmsAccess> take(JobId job) {
    std::lock_guard lock(mutex_);
    drop_expired();
    auto found = pending_.extract(job);
    if (found.empty()) return fail(ErrorKind::denied, "no credentials came with this job");
    return std::move(found.mapped().access);
  }
  void forget(JobId job) {
    std::lock_guard lock(mutex_);
    pending_.erase(job);
    drop_expired();
  }
  void sweep() {
    std::lock_guard lock(mutex_);
    drop_expired();
  }

 private:
  struct Entry {
    KmsAccess access;
    sys::Deadline expiry;
  };
  void drop_expired() {
    std::erase_if(pending_, [](const auto& entry) { return entry.second.expiry.passed(); });
  }
  std::mutex mutex_;
  std::map<JobId, Entry> pending_;
};

class Keeper {
 public:
  Keeper(attestation::NsmDevice& nsm, const Trust& trust, const sys::Endpoint& proxy, const Log& log)
      : nsm_(nsm),
        keys_(kKeysAhead),
        release_(trust, nsm, keys_, connect_through_proxy(proxy, trust), clock_),
        log_(log) {}

  // One request of the listener.
  Status answer(const sys::MessageSocket& listener) {
    KeeperRequest request;
    TRY(listener.receive(request));
    KeeperReply reply;
    auto done = dispatch(request, reply);
    if (!done) reply.error.set(done.error());
    wipe({reinterpret_cast<std::uint8_t*>(&request), sizeof request});
    return listener.send(reply);
  }

  // A launcher's channel: served by a thread of its own, because KMS may take seconds.
  Status admit(const sys::MessageSocket& monitor) {
    NewJob job;
    auto fds = TRY(monitor.receive(job, 1));
    if (fds.size() != 1) return fail(ErrorKind::internal, "a new job without its channel");
    if (active_.load() >= kMaxJobsAtOnce) return {};  // closing the channel tells the launcher
    try {
      std::thread([this, id = job.job, channel = sys::MessageSocket(std::move(fds[0]))] {
        ++active_;
        serve_guarded(id, channel);
        --active_;
      }).detach();
    } catch (const std::system_error& error) {
      log_.warning("no thread for job {:016x}: {}", job.job, error.what());
    }
    return {};
  }

  void sweep() { pending_.sweep(); }

 private:
  Status dispatch(const KeeperRequest& request, KeeperReply& reply) {
    switch (request.call) {
      case KeeperCall::attest:
        return attest(request, reply);
      case KeeperCall::credentials:
        return accept_credentials(request);
      case KeeperCall::forget:
        pending_.forget(request.job);
        return {};
    }
    return fail(ErrorKind::invalid, "unknown call");
  }

  // Never with a public_key: only key_release makes such documents, for keys of its own.
  Status attest(const KeeperRequest& request, KeeperReply& reply) {
    auto document = TRY(attestation::Nsm(nsm_).attest(
        {.user_data = to_bytes(ByteView(request.user_data)), .nonce = to_bytes(ByteView(request.nonce))}));
    if (document.size() > sizeof reply.document)
      return fail(ErrorKind::internal, "a document of {} bytes", document.size());
    std::copy(document.begin(), document.end(), reply.document);
    reply.document_size = static_cast<std::uint32_t>(document.size());
    return {};
  }

  Status accept_credentials(const KeeperRequest& request) {
    KmsAccess access;
    auto& credentials = access.credentials;
    credentials.access_key_id = request.access_key_id.view();
    credentials.secret_access_key = secret_of(request.secret_access_key.view());
    if (!request.session_token.view().empty())
      credentials.session_token = secret_of(request.session_token.view());
    access.endpoint = {.fips = request.fips_endpoint != 0, .dualstack = request.dualstack_endpoint != 0};
    return pending_.put(request.job, std::move(access));
  }

  // What goes wrong with one job, want of memory included, must not end the keeper. A job that ends before
  // its key was asked for leaves no credentials behind.
  void serve_guarded(JobId job, const sys::MessageSocket& launcher) {
    try {
      if (auto served = serve(job, launcher); !served)
        log_.warning("job {:016x}: {}", job, served.error().message());
    } catch (const std::exception& error) {
      log_.warning("job {:016x}: {}", job, error.what());
    }
    pending_.forget(job);
  }

  Status serve(JobId job, const sys::MessageSocket& launcher) {
    auto request = std::make_unique<KeyRequest>();
    TRY(launcher.receive(*request, 0, sys::Deadline::after(kKeyRequestTimeout)));
    HeaderVerdict verdict;
    auto package = verify(job, *request);
    if (!package) verdict.error.set(package.error());
    TRY(launcher.send(verdict));
    if (!package) return std::unexpected(package.error());
    KeyReply reply;
    auto released = release_key(job, *package, request->content_header);
    if (released && !reply.notice.set(released->notice, "notice")) log_.warning("a notice cannot be told");
    if (released) {
      const auto& key = released->key;
      std::copy_n(key.key.view().begin(), sizeof reply.key, reply.key);
      std::copy(key.nonce_prefix.begin(), key.nonce_prefix.end(), reply.nonce_prefix);
    } else {
      reply.error.set(released.error());
    }
    auto sent = launcher.send(reply);
    wipe({reinterpret_cast<std::uint8_t*>(&reply), sizeof reply});
    return sent;
  }

  static Result<VerifiedHeader> verify(JobId job, const KeyRequest& request) {
    if (request.job != job) return fail(ErrorKind::denied, "a launcher asks for another job's key");
    if (request.prefix_size > sizeof request.prefix)
      return fail(ErrorKind::invalid, "a prefix of {} bytes", request.prefix_size);
    return KeyRelease::verify(ByteView(request.prefix).first(request.prefix_size), request.signers);
  }

  Result<Released> release_key(JobId job, const VerifiedHeader& package, ByteView content_header) {
    auto access = TRY(pending_.take(job));
    return release_.release(package, content_header, access);
  }

  attestation::NsmDevice& nsm_;
  sys::SystemClock clock_;
  RecipientKeys keys_;
  KeyRelease release_;
  PendingCredentials pending_;
  std::atomic<std::size_t> active_ = 0;
  const Log& log_;
};

}  // namespace

Status run_keeper(sys::MessageSocket listener, sys::MessageSocket monitor, attestation::NsmDevice& nsm,
                  const Trust& trust, const sys::Endpoint& proxy, const Log& log) {
  // Job threads are detached and use it to the last; the process ends with _exit, so it is never destroyed
  // under them.
  auto& keeper = *new Keeper(nsm, trust, proxy, log);
  for (;;) {
    std::array<pollfd, 2> entries{{{listener.descriptor(), POLLIN, 0}, {monitor.descriptor(), POLLIN, 0}}};
    if (::poll(entries.data(), entries.size(), kSweepPause) < 0) {
      if (errno == EINTR) continue;
      return fail_errno("poll");
    }
    keeper.sweep();
    if (entries[0].revents != 0) TRY(keeper.answer(listener));
    if (entries[1].revents != 0) TRY(keeper.admit(monitor));
  }
}

}  // namespace cloister::enclave
