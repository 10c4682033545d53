#include "enclave/jobs.h"

#include <algorithm>

#include "enclave/job.h"

namespace cloister::enclave {

JobTable::~JobTable() = default;

// Of all jobs that run, and of those that are about to.
std::vector<JobTable::Place> JobTable::places() const {
  std::vector<Place> out;
  out.reserve(starting_.size() + jobs_.size());
  for (const auto& [number, place] : starting_) out.push_back(place);
  for (const auto& [id, job] : jobs_) {
    if (job->ended()) continue;
    out.push_back({.id = id,
                   .client = job->client(),
                   .output = job->view().output,
                   .shares_output = job->shares_output()});
  }
  return out;
}

// One job at a time writes to a directory of the share's output, unless both said that they share it.
Status JobTable::admit(const Place& wanted) const {
  std::size_t running = 0;
  std::size_t mine = 0;
  for (const auto& place : places()) {
    ++running;
    if (place.client != wanted.client) continue;
    ++mine;
    if (place.output == wanted.output && !(place.shares_output && wanted.shares_output)) {
      Error error(ErrorKind::denied,
                  fmt::format("job {} is writing to the same output directory", job_id_text(place.id)));
      return std::unexpected(
          std::move(error).with_hint("give this one its own with --output NAME, or pass --share-output"));
    }
  }
  if (mine >= kMaxRunningJobsPerClient) {
    return fail(ErrorKind::exhausted, "{} of your jobs are running, as many as a client may have", mine);
  }
  if (running >= kMaxRunningJobs)
    return fail(ErrorKind::exhausted, "{} jobs are running, as many as this enclave allows", running);
  return {};
}

// Ended jobs of this client go, the oldest first, until there is room for another.
void JobTable::forget_oldest(const ClientId& client) {
  auto ended = jobs_of(client);  // the newest first
  std::size_t count = ended.size();
  std::erase_if(ended, [](const auto& job) { return !job->ended(); });
  std::size_t bytes = 0;
  for (const auto& job : ended) bytes += job->events().bytes();
  for (; !ended.empty() && (count >= kMaxJobsPerClient || bytes > kMaxEndedEventBytes); --count) {
    bytes -= ended.back()->events().bytes();
    forgotten_.count(ended.back()->view().state);
    jobs_.erase(ended.back()->view().id);
    ended.pop_back();
  }
}

std::vector<std::shared_ptr<Job>> JobTable::jobs_of(const ClientId& client) const {
  std::vector<std::shared_ptr<Job>> mine;
  for (const auto& [id, job] : jobs_) {
    if (job->client() == client) mine.push_back(job);
  }
  std::sort(mine.begin(), mine.end(),
            [](const auto& a, const auto& b) { return a->sequence() > b->sequence(); });
  return mine;
}

Result<JobTable::Reserved> JobTable::reserve(const ClientId& client, const PostedJob& posted) {
  Place place{.id = posted.order->id,
              .client = client,
              .output = std::string(posted.order->output.view()),
              .shares_output = posted.share_output};
  std::lock_guard lock(mutex_);
  TRY(admit(place));
  auto number = ++started_;
  starting_.emplace(number, std::move(place));
  return Reserved(*this, number);
}

JobTable::Reserved::~Reserved() {
  if (table_ == nullptr) return;
  std::lock_guard lock(table_->mutex_);
  table_->starting_.erase(number_);
}

Result<std::shared_ptr<Job>> JobTable::launch(const ClientId& client, const PostedJob& posted,
                                              std::uint64_t number) {
  const auto& order = *posted.order;
  auto job = std::make_shared<Job>(
      client, order, JobOptions{.shares_output = posted.share_output, .grace = posted.grace}, number);
  auto started = TRY(monitor_.start_job(client, order));
  TRY(job->follow(std::move(started.launcher), std::move(started.standard_output), [this, client, number] {
    if (auto told = shares_.end_job(client, number); !told)
      log_.warning("tell a client what a job changed: {}", told.error().message());
  }));
  return job;
}

// Other processes are asked without the lock: a share server that is slow for one client must not keep the
// others from their jobs.
Result<JobView> JobTable::start(const ClientId& client, const PostedJob& posted) {
  auto reserved = TRY(reserve(client, posted));
  auto number = reserved.number();
  // Without its server a share is still there for the job; only its mounts are not.
  if (auto watched = shares_.begin_job(client, number, !posted.order->writes.view().empty()); !watched)
    log_.warning("watch a share: {}", watched.error().message());
  auto job = launch(client, posted, number);
  if (!job) {
    (void)shares_.end_job(client, number).has_value();
    return std::unexpected(std::move(job).error());
  }
  std::lock_guard lock(mutex_);
  forget_oldest(client);
  starting_.erase(number);
  jobs_[posted.order->id] = *job;
  return (*job)->view();
}

Result<std::shared_ptr<Job>> JobTable::find(const ClientId& client, JobId id) {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(id);
  // Another client's job answers exactly as one that never was.
  if (found == jobs_.end() || found->second->client() != client)
    return fail(ErrorKind::not_found, "no such job");
  return found->second;
}

std::vector<JobView> JobTable::list(const ClientId& client) {
  std::vector<std::shared_ptr<Job>> mine;
  {
    std::lock_guard lock(mutex_);
    mine = jobs_of(client);
  }
  std::vector<JobView> out;
  out.reserve(mine.size());
  for (const auto& job : mine) out.push_back(job->view());
  return out;
}

Result<JobView> JobTable::view(const ClientId& client, JobId id) {
  return TRY(find(client, id))->view();
}

Result<JobView> JobTable::cancel(const ClientId& client, JobId id) {
  auto job = TRY(find(client, id));
  TRY(job->cancel());
  return job->view();
}

Status JobTable::follow(const ClientId& client, JobId id,
                        const std::function<Status(std::string_view)>& on_event) {
  auto job = TRY(find(client, id));
  EventLog::Follower follower(job->events());
  while (auto line = follower.next()) TRY(on_event(*line));
  return {};
}

void JobTable::Totals::count(JobState state) {
  ++(state == JobState::exited      ? exited
     : state == JobState::failed    ? failed
     : state == JobState::cancelled ? cancelled
                                    : running);
}

JobTable::Totals JobTable::totals() {
  std::lock_guard lock(mutex_);
  auto out = forgotten_;
  out.started = started_;
  for (const auto& [id, job] : jobs_) {
    out.count(job->view().state);
    out.event_bytes += job->events().bytes();
  }
  return out;
}

}  // namespace cloister::enclave
