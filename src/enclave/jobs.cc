#include "enclave/jobs.h"

#include <algorithm>

#include "enclave/job.h"

namespace cloister::enclave {

JobTable::~JobTable() = default;

// One job at a time writes to a directory of the share's output, unless both said that they share it.
Status JobTable::admit(const ClientId& client, std::string_view output, bool share_output) {
  std::size_t running = 0;
  std::size_t mine = 0;
  for (const auto& [id, job] : jobs_) {
    if (job->ended()) continue;
    ++running;
    if (job->client() == client) ++mine;
    auto view = job->view();
    if (job->client() == client && view.output == output && !(share_output && job->shares_output())) {
      Error error(ErrorKind::denied,
                  fmt::format("job {} is writing to the same output directory", job_id_text(view.id)));
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

Result<JobView> JobTable::start(const ClientId& client, const PostedJob& posted) {
  const auto& order = *posted.order;
  std::lock_guard lock(mutex_);
  TRY(admit(client, order.output.view(), posted.share_output));
  forget_oldest(client);
  auto number = ++started_;
  // Without its server a share is still there for the job; only its mounts are not.
  if (auto watched = shares_.begin_job(client, number, !order.writes.view().empty()); !watched)
    log_.warning("watch a share: {}", watched.error().message());
  auto started = monitor_.start_job(client, order);
  if (!started) {
    (void)shares_.end_job(client, number).has_value();
    return std::unexpected(std::move(started).error());
  }
  auto job = std::make_shared<Job>(
      client, order, JobOptions{.shares_output = posted.share_output, .grace = posted.grace}, number);
  TRY(job->follow(std::move(started->launcher), std::move(started->standard_output), [this, client, number] {
    if (auto told = shares_.end_job(client, number); !told)
      log_.warning("tell a client what a job changed: {}", told.error().message());
  }));
  jobs_[order.id] = job;
  return job->view();
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
