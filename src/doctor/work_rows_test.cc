// What can be wrong with what is to run there, and with what it needs of AWS.
#include "doctor/checks_testing.h"

namespace cloister::doctor {

std::vector<Row> memory_rows() {
  using enum Severity;
  return {
      {"too little for the image", emulated(), [](auto& f) { f.asked.memory_mib = 320; }, "memory-image",
       problem, "less than 390", "--memory 640"},
      {"just enough for the image", emulated(),
       [](auto& f) { f.asked.memory_mib = 512, f.package.reset(), f.data.reset(); }, "memory-image", warning,
       "576 are advised", "--memory 576"},
      {"an image of xz", emulated(),
       [](auto& f) { f.image->footprint = {.packed_bytes = 53 * kMib, .known = false}; }, "memory-image",
       warning, "cannot look into", "--memory 4096"},
      {"four times the file", nitro(),
       [](auto& f) { f.image->file_bytes = 600 * kMib, f.asked.memory_mib = 2048; }, "memory-file", problem,
       "E26", "--memory 2432"},
      {"more than this machine has", emulated(), [](auto& f) { f.asked.memory_mib = 16384; }, "memory-host",
       warning, "12288 to spare", "--memory 12288"},
      {"no hugepages", nitro(),
       [](auto& f) {
         f.nitro.host.nodes = {node(0, 0, 0)},
         f.nitro.host.allocator_text = "---\nmemory_mib: 0\ncpu_count: 2\n";
       },
       "memory-node", problem, "no memory is set aside", "host prepare --memory 2048"},
      {"hugepages in pieces", graviton(),
       [](auto& f) {
         f.nitro.host.nodes = {node(0, 1024, 1024), node(1, 1023, 1023)},
         f.nitro.host.allocator_text = "---\nmemory_mib: 4094\ncpu_count: 2\n";
       },
       "memory-node", problem, "4094 MiB are set aside, but only 2046 of them on node 1", "reboot"},
      {"in use by another", nitro(), [](auto& f) { f.nitro.host.nodes = {node(0, 2048, 512)}; },
       "memory-node", problem, "other enclaves leave 1024", "nitro-cli describe-enclaves"},
      {"too little aside", nitro(),
       [](auto& f) {
         f.nitro.host.nodes = {node(0, 512, 512)},
         f.nitro.host.allocator_text = "---\nmemory_mib: 1024\ncpu_count: 2\n";
       },
       "memory-node", problem, "1024 MiB are set aside", "host prepare --memory 2048"},
      {"a package that cannot fit", emulated(), [](auto& f) { f.package->content_bytes = 1900 * kMib; },
       "memory-work", problem, "do not fit", "--memory"},
      {"a package that may not fit", emulated(), [](auto& f) { f.package->content_bytes = 700 * kMib; },
       "memory-work", warning, "may not fit", "--memory"},
      {"work for a machine without memory", simulated(),
       [](auto& f) { f.data = Data{.files = 1, .bytes = 3000 * kMib}, f.machine.available_mib = 2000; },
       "memory-work", problem, "2000 MiB to spare", "more memory"},
      {"perhaps without memory", simulated(),
       [](auto& f) { f.package = Package{.content_bytes = 900 * kMib}, f.machine.available_mib = 2000; },
       "memory-work", warning, "may not fit", "more memory"},
      {"the owner's limit", emulated(), [](auto& f) { f.package->limit_is_default = false; }, "memory-limit",
       warning, "may use 4096 MiB", "more memory"},
      {"data for a quarter of the memory", emulated(), [](auto& f) { f.data->bytes = 600 * kMib; },
       "data-folder", problem, "a quarter of the enclave's memory", "--memory 2560"},
      {"data for a quarter of the machine", simulated(),
       [](auto& f) { f.data = Data{.files = 1, .bytes = 5000 * kMib}; }, "data-folder", problem, "a quarter",
       "--share-mib 6272"},
      {"data that is not there", emulated(),
       [](auto& f) { f.data->error = "photos: No such file or directory"; }, "data-folder", problem, "photos",
       "--data DIR"},
  };
}

namespace {

// As AWS says it to a role of that account, of a key of 111122223333.
void deny(Facts& facts, std::string_view account, std::string_view why) {
  facts.kms->key_account = "111122223333";
  facts.kms->dry_run = "AccessDeniedException";
  facts.kms->dry_run_message = fmt::format(
      "User: arn:aws:sts::{}:assumed-role/enclave-host/i-1 is not authorized to perform: kms:Decrypt on "
      "resource: arn:aws:kms:eu-central-1:111122223333:key/k {}",
      account, why);
}

}  // namespace

std::vector<Row> aws_rows() {
  using enum Severity;
  return {
      {"no package", nitro(), [](auto& f) { f.package->error = "ocr.cloister: not an encrypted package"; },
       "package-file", problem, "not an encrypted", "owner"},
      {"stranger's package", nitro(), [](auto& f) { f.package->signer_known = false; }, "package-signer",
       problem, "signer", "cloister signer add"},
      {"another region's key", nitro(), [](auto& f) { f.package->region = "us-east-1"; }, "package-region",
       warning, "is in us-east-1", "AWS_REGION=us-east-1"},
      {"no region", nitro(), [](auto& f) { f.region.clear(); }, "region", problem, "no AWS region",
       "export AWS_REGION"},
      {"no credentials", nitro(),
       [](auto& f) {
         f.credentials = Credentials{.error = "no AWS credentials in …", .hint = "aws configure"};
       },
       "credentials", problem, "no AWS credentials", "aws configure"},
      {"expired", nitro(), [](auto& f) { f.credentials->seconds_left = -5; }, "credentials-expiry", problem,
       "have expired", "new ones"},
      {"expire soon", nitro(), [](auto& f) { f.credentials->seconds_left = 899; }, "credentials-expiry",
       warning, "14 minutes", "new ones"},
      {"never expire", nitro(), [](auto& f) { f.credentials->seconds_left.reset(); }, "credentials-expiry",
       note, "do not expire", ""},
      {"no metadata", nitro(), [](auto& f) { f.metadata->reached = false; }, "metadata", warning,
       "does not answer", "--http-endpoint enabled"},
      {"hop limit 1 in docker", nitro(),
       [](auto& f) { f.metadata->token_status = 0, f.machine.container = true; }, "metadata", warning,
       "before this container", "--http-put-response-hop-limit 2"},
      {"no tokens and nothing else", nitro(),
       [](auto& f) {
         f.metadata->token_status = 0, f.credentials = Credentials{.error = "none", .hint = "…"};
       },
       "metadata", problem, "hop limit", "--http-put-response-hop-limit 2"},
      {"no tokens", nitro(), [](auto& f) { f.metadata->token_status = 403; }, "metadata", warning,
       "answered 403", "--http-tokens required"},
      {"IMDSv1", nitro(), [](auto& f) { f.metadata->without_token = true; }, "metadata-v1", warning, "IMDSv1",
       "--http-tokens required"},
      {"no role, other credentials", nitro(), [](auto& f) { f.metadata->role.reset(); }, "metadata-role",
       note, "no role", ""},
      {"KMS unreachable", nitro(),
       [](auto& f) { f.kms->error = "no route to host", f.kms->ahead_seconds.reset(); }, "kms", problem,
       "no route", "VPC endpoint"},
      {"embedded KMS without authority", emulated(),
       [](auto& f) { f.kms->embedded = true, f.kms->authority_set = false; }, "kms-authority", problem,
       "AWS_CA_BUNDLE is not", "user.env"},
      {"clock 61 s off", nitro(), [](auto& f) { f.kms->ahead_seconds = 61; }, "clock", warning,
       "61 s ahead of", "timedatectl"},
      {"clock 7 min off", nitro(), [](auto& f) { f.kms->ahead_seconds = -420; }, "clock", problem,
       "7 minutes behind", "timedatectl"},
      {"open key", nitro(), [](auto& f) { f.kms->dry_run = "DryRunOperationException"; }, "kms-right",
       warning, "asks for no attestation", "cloister key show"},
      {"no IAM right in the key's account", nitro(),
       [](auto& f) {
         deny(f, "111122223333", "because no identity-based policy allows the kms:Decrypt action");
       },
       "kms-right", note, "names your role", "kms:Decrypt"},
      {"no IAM right elsewhere", nitro(),
       [](auto& f) {
         deny(f, "444455556666", "because no identity-based policy allows the kms:Decrypt action");
       },
       "kms-right", problem, "IAM rights", "kms:Decrypt"},
      {"an IAM deny", nitro(),
       [](auto& f) { deny(f, "111122223333", "with an explicit deny in an identity-based policy"); },
       "kms-right", problem, "IAM rights", "kms:Decrypt"},
      {"key disabled", nitro(),
       [](auto& f) { f.kms->dry_run = "DisabledException", f.kms->dry_run_message = "y is disabled."; },
       "kms-right", problem, "DisabledException: y is disabled", "owner"},
      {"no proxy", ran(nitro()), [](auto& f) { f.running->proxy = false; }, "proxy", problem, "has no proxy",
       "cloister proxy -s kms --name default"},
      {"proxy to elsewhere", ran(nitro()),
       [](auto& f) { f.running->destinations = {"kms.us-east-1.amazonaws.com:443"}; }, "proxy", problem,
       "does not let it reach kms.eu-central-1", "--stop"},
  };
}

}  // namespace cloister::doctor
