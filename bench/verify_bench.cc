// Verifying an attestation document costs what its signatures cost: one P-384 verification per certificate
// and one for the document. The last benchmark times both turn by turn and gives the ratio.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>

#include "attestation/document.h"
#include "sys/file.h"

namespace {

using namespace cloister;

const Bytes& document_bytes() {
  static const Bytes bytes =
      sys::read_file(CLOISTER_TEST_DATA "/attestation/production-2022-10.cbor", attestation::kMaxDocument)
          .value();
  return bytes;
}

const attestation::SignedDocument& parsed() {
  static const auto document = attestation::SignedDocument::parse(document_bytes()).value();
  return document;
}

std::size_t verifications() {
  return parsed().document.cabundle.size() + 2;  // authorities, leaf, document
}

// The same key and message each time: the signature of the document.
void verify_bare(const crypto::PublicKey& key, std::size_t times) {
  for (std::size_t i = 0; i < times; ++i)
    if (!key.verify(parsed().signed_bytes, parsed().signature)) std::abort();
}

crypto::PublicKey leaf_key() {
  return crypto::Certificate::from_der(parsed().document.certificate).value().public_key().value();
}

void verify_document(const crypto::Certificate& root) {
  if (!attestation::verify(document_bytes(), root, parsed().document.timestamp)) std::abort();
}

void VerifyDocument(benchmark::State& state) {
  auto root = attestation::aws_nitro_root();
  for (auto _ : state) verify_document(root);
}
BENCHMARK(VerifyDocument)->Unit(benchmark::kMicrosecond);

void BareVerifications(benchmark::State& state) {
  auto key = leaf_key();
  for (auto _ : state) verify_bare(key, verifications());
  state.counters["verifications"] = static_cast<double>(verifications());
}
BENCHMARK(BareVerifications)->Unit(benchmark::kMicrosecond);

void ParseDocument(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(attestation::SignedDocument::parse(document_bytes()));
}
BENCHMARK(ParseDocument)->Unit(benchmark::kMicrosecond);

// Of this thread: what else the machine does, does not count.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Turn by turn, so that a busy machine slows both alike.
void Ratio(benchmark::State& state) {
  auto root = attestation::aws_nitro_root();
  auto key = leaf_key();
  double documents = 0;
  double bare = 0;
  for (auto _ : state) {
    auto start = cpu_seconds();
    verify_document(root);
    auto middle = cpu_seconds();
    verify_bare(key, verifications());
    documents += middle - start;
    bare += cpu_seconds() - middle;
  }
  state.counters["ratio"] = documents / bare;
}
BENCHMARK(Ratio)->Unit(benchmark::kMicrosecond)->MinTime(2.0);

}  // namespace

BENCHMARK_MAIN();
