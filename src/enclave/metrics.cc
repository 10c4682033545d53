#include "enclave/metrics.h"

#include <fmt/format.h>

#include <initializer_list>

namespace cloister::enclave {

namespace {

struct Sample {
  std::string_view labels;  // {name="value",…}, or nothing
  std::uint64_t value = 0;
};

// One family: what it is, of which type, and its samples together, as the format demands.
class Text {
 public:
  void counter(std::string_view name, std::string_view help, std::initializer_list<Sample> samples) {
    family(name, "counter", help, samples);
  }
  void gauge(std::string_view name, std::string_view help, std::initializer_list<Sample> samples) {
    family(name, "gauge", help, samples);
  }
  std::string take() { return std::move(out_); }

 private:
  void family(std::string_view name, std::string_view type, std::string_view help,
              std::initializer_list<Sample> samples) {
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
    for (const auto& sample : samples) out_ += fmt::format("{}{} {}\n", name, sample.labels, sample.value);
  }
  std::string out_;
};

void add_enclave(Text& text, const Metrics& metrics) {
  auto labels = fmt::format(R"({{version="{}",mode="{}"}})", CLOISTER_VERSION, to_string(metrics.mode));
  text.gauge("cloister_build_info", "Always 1: which version runs, in which mode.", {{labels, 1}});
  text.gauge("cloister_uptime_seconds", "Time since the listener started.",
             {{"", static_cast<std::uint64_t>(metrics.uptime.count())}});
}

void add_connections(Text& text, const Metrics& metrics) {
  const auto& counters = metrics.counters;
  text.gauge("cloister_connections", "Control connections that are open.", {{"", metrics.connections_open}});
  text.counter("cloister_connections_accepted_total", "Control connections that were let in.",
               {{"", counters.connections}});
  text.counter("cloister_connections_refused_total", "Control connections that were refused, by reason.",
               {{R"({reason="crowded"})", counters.refused_crowded},
                {R"({reason="handshake"})", counters.refused_handshake},
                {R"({reason="full"})", counters.refused_full}});
  text.counter("cloister_lanes_accepted_total", "Lanes of shared folders that were let in.",
               {{"", counters.lanes}});
  text.counter("cloister_lanes_refused_total", "Lanes of shared folders that were refused.",
               {{"", counters.lanes_refused}});
}

void add_jobs(Text& text, const JobTable::Totals& jobs) {
  text.counter("cloister_jobs_started_total", "Jobs that were started.", {{"", jobs.started}});
  text.counter("cloister_jobs_ended_total", "Jobs that have ended, by outcome.",
               {{R"({outcome="exited"})", jobs.exited},
                {R"({outcome="failed"})", jobs.failed},
                {R"({outcome="cancelled"})", jobs.cancelled}});
  text.gauge("cloister_jobs_running", "Jobs that have not ended.", {{"", jobs.running}});
  text.gauge("cloister_job_events_bytes", "Bytes of events kept, of all jobs that are remembered.",
             {{"", jobs.event_bytes}});
}

void add_shares(Text& text, const ShareServers::Totals& shares) {
  text.gauge("cloister_share_clients", "Clients that have opened a shared folder.", {{"", shares.clients}});
  text.gauge("cloister_share_servers", "Share servers that run.", {{"", shares.servers}});
  text.gauge("cloister_share_mounts", "Mounts of shared folders.", {{"", shares.mounts}});
  text.gauge("cloister_share_lanes", "Lanes of those mounts.", {{"", shares.lanes}});
  text.gauge("cloister_share_inodes", "Files that the kernels behind those mounts remember.",
             {{"", shares.inodes}});
  text.gauge("cloister_share_handles", "Files and directories that are open in those mounts.",
             {{"", shares.handles}});
  text.counter("cloister_share_requests_total", "File system requests answered.", {{"", shares.requests}});
  text.counter("cloister_share_read_bytes_total", "Bytes of file data that clients have read.",
               {{"", shares.bytes_read}});
  text.counter("cloister_share_written_bytes_total", "Bytes of file data that clients have written.",
               {{"", shares.bytes_written}});
}

}  // namespace

std::string metrics_text(const Metrics& metrics) {
  Text text;
  add_enclave(text, metrics);
  add_connections(text, metrics);
  add_jobs(text, metrics.jobs);
  add_shares(text, metrics.shares);
  return text.take();
}

}  // namespace cloister::enclave
