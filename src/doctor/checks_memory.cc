// Whether an image, a package and data fit. A prediction that is wrong is worse than none: what is called a
// problem here does not fit however well it is packed; what is estimated says so.
#include <fmt/format.h>

#include <algorithm>

#include "doctor/checks.h"
#include "host/nitro_cli.h"

namespace cloister::doctor {

namespace {

constexpr std::uint64_t kMebibyte = 1024 * 1024;  // bytes
constexpr std::uint64_t kStepMib = 64;
constexpr std::uint64_t kApplicationMib = 256;  // for an application that does little
constexpr std::uint64_t kUnpackedFactor =
    2;  // what a package may unpack to, guessed: code and models pack badly
// Of the memory, for one client's folder: apps/cloisterd.cc in a machine, `up` for a simulated enclave.
constexpr std::uint64_t kShareDivisor = 4;
constexpr std::uint64_t kBytesPerFile =
    2048;  // that a file takes beside its content (enclave/share_budget.h)

std::uint64_t in_mib(std::uint64_t bytes) {
  return (bytes + kMebibyte - 1) / kMebibyte;
}
std::uint64_t in_steps(std::uint64_t mib) {
  return (mib + kStepMib - 1) / kStepMib * kStepMib;
}

const Image* usable_image(const Facts& facts) {
  return facts.image && facts.image->error.empty() ? &*facts.image : nullptr;
}

// What one client's folder may have, in a machine.
std::uint64_t folder_mib(std::uint64_t memory) {
  return image::room_mib({}, memory) / kShareDivisor;
}

// What is to be in the enclave beside its image, MiB.
struct Work {
  std::uint64_t package = 0;        // encrypted: it lies in the folder
  std::uint64_t package_least = 0;  // there, and unpacked: it does not unpack to less
  std::uint64_t package_guess = 0;
  std::uint64_t data = 0;    // in memory
  std::uint64_t folder = 0;  // what counts against the folder's quota: package and data
  bool any() const { return package_least + data != 0; }
};
Work work_of(const Facts& facts) {
  Work out;
  if (facts.package && facts.package->error.empty()) {
    out.package = out.folder = in_mib(facts.package->content_bytes);
    out.package_least = 2 * out.package;
    out.package_guess = (1 + kUnpackedFactor) * out.package;
  }
  if (facts.data && facts.data->error.empty()) {
    out.folder += in_mib(facts.data->bytes);
    out.data = in_mib(facts.data->bytes + facts.data->files * kBytesPerFile);
  }
  return out;
}

std::string in_words(const Work& work) {
  std::string out;
  if (work.package != 0)
    out = fmt::format("the package ({} MiB in the folder; unpacked perhaps {})", work.package,
                      kUnpackedFactor * work.package);
  if (work.data != 0) out += fmt::format("{}the data ({} MiB)", out.empty() ? "" : " and ", work.data);
  return out;
}

std::string more_memory(const Facts& facts) {
  return fmt::format("cloister up --backend {} --image {} --memory {}", facts.asked.backend,
                     facts.asked.image, fitting_memory_mib(facts));
}

// Whether it comes up at all.
bool check_least(const Facts& facts, const Image& image, std::uint64_t memory, Findings& out) {
  auto least = image::least_memory_mib(image.footprint);
  auto advised = image::advised_memory_mib(image.footprint);
  if (memory < least)
    out.problem("memory-image",
                fmt::format("{} MiB are too little for the image: it does not come up with less than {}",
                            memory, least),
                more_memory(facts));
  else if (!image.footprint.known)
    out.warn("memory-image",
             fmt::format("the image's ramdisks are packed in a way that doctor cannot look into, so {} MiB "
                         "may be too little",
                         memory),
             fmt::format("if it does not come up, give it more: --memory {}", 2 * memory));
  else if (memory < advised)
    out.warn("memory-image",
             fmt::format("{} MiB bring the image up, and leave little: {} are advised", memory, advised),
             more_memory(facts));
  else
    out.fine(
        "memory-image",
        fmt::format(
            "{} MiB for an image that comes up with {}; {} are left for packages, folders and applications",
            memory, least, image::room_mib(image.footprint, memory)));
  return memory >= least;
}

// nitro-cli's own rule, whatever the image unpacks to (E26).
void check_file(const Facts& facts, const Image& image, std::uint64_t memory, Findings& out) {
  auto least = in_mib(host::kEifMemoryRatio * image.file_bytes);
  if (memory < least)
    out.problem("memory-file",
                fmt::format("nitro-cli gives no image of {} MiB less than {} of memory (E26)",
                            in_mib(image.file_bytes), least),
                fmt::format("cloister up --backend nitro --image {} --memory {}", facts.asked.image,
                            std::max(in_steps(least), fitting_memory_mib(facts))));
  else
    out.fine("memory-file", fmt::format("{} MiB are four times the image's file", least));
}

void check_host(const Machine& machine, std::uint64_t memory, Findings& out) {
  if (memory > machine.available_mib)
    out.warn("memory-host",
             fmt::format("the machine would have {} MiB, and this one has {} to spare: once it uses them, "
                         "something is killed",
                         memory, machine.available_mib),
             fmt::format("--memory {}, or end something", machine.available_mib / kStepMib * kStepMib));
  else
    out.fine("memory-host",
             fmt::format("{} of the {} MiB that this machine has to spare", memory, machine.available_mib));
}

struct Aside {
  std::uint64_t here = 0;  // on the enclave's node, used or not
  std::uint64_t free_here = 0;
  std::uint64_t everywhere = 0;  // free on all nodes
  unsigned node = 0;
};
// The node of the processors that are set aside; without any, the one with the most memory.
Aside memory_aside(const host::NitroHost& host) {
  Aside out;
  const auto* node = host.pool_node();
  for (const auto& each : host.nodes) {
    out.everywhere += each.free_hugepage_mib();
    if (host.pool_node() == nullptr &&
        (node == nullptr || each.free_hugepage_mib() > node->free_hugepage_mib()))
      node = &each;
  }
  if (node == nullptr) return out;
  out.here = node->hugepage_mib();
  out.free_here = node->free_hugepage_mib();
  out.node = node->index;
  return out;
}

// An enclave has its memory in huge pages of one node, the one of its processors.
void check_node(const Facts& facts, std::uint64_t memory, Findings& out) {
  auto aside = memory_aside(facts.nitro.host);
  auto prepare = fmt::format("sudo cloister host prepare --memory {}", memory);
  if (aside.free_here >= memory)
    out.fine("memory-node", fmt::format("{} of {} MiB that are set aside on node {} are free",
                                        aside.free_here, aside.here, aside.node));
  else if (aside.here == 0 && aside.everywhere == 0)
    out.problem("memory-node",
                fmt::format("no memory is set aside for enclaves, and this one wants {} MiB", memory),
                prepare);
  else if (aside.everywhere >= memory)
    out.problem(
        "memory-node",
        fmt::format(
            "{} MiB are set aside, but only {} of them on node {}, where the processors are: an enclave has "
            "its memory on one node",
            aside.everywhere, aside.free_here, aside.node),
        prepare + ", and reboot if it gets less than that: free memory is in pieces");
  else if (aside.here >= memory)
    out.problem(
        "memory-node",
        fmt::format("of {} MiB that are set aside on node {} other enclaves leave {}, and this one wants {}",
                    aside.here, aside.node, aside.free_here, memory),
        "nitro-cli describe-enclaves, and end one; or " + prepare);
  else
    out.problem("memory-node",
                fmt::format("{} MiB are set aside for enclaves on node {}, and this one wants {}", aside.here,
                            aside.node, memory),
                prepare);
}

void check_work(const Facts& facts, const Image& image, std::uint64_t memory, Findings& out) {
  auto work = work_of(facts);
  if (!work.any()) return;
  auto room = image::room_mib(image.footprint, memory);
  if (work.package_least + work.data > room)
    out.problem("memory-work",
                fmt::format("{} do not fit: of {} MiB the image leaves {}", in_words(work), memory, room),
                more_memory(facts));
  else if (work.package_guess + work.data > room)
    out.warn("memory-work",
             fmt::format("{} may not fit: of {} MiB the image leaves {}", in_words(work), memory, room),
             more_memory(facts));
  else
    out.fine("memory-work", fmt::format("{} leave {} MiB for the application", in_words(work),
                                        room - work.package_guess - work.data));
}

// What the manifest lets the application use, where its owner has said so.
void check_limit(const Facts& facts, std::uint64_t room, Findings& out) {
  if (!facts.package || !facts.package->error.empty() || facts.package->limit_is_default) return;
  auto work = work_of(facts);
  auto taken = work.package_guess + work.data;
  auto left = room > taken ? room - taken : 0;
  auto limit = facts.package->memory_limit_mib;
  if (limit > left)
    out.warn("memory-limit",
             fmt::format("the application may use {} MiB, says its owner, and about {} are left for it",
                         limit, left),
             "give the enclave more memory if the application runs out of it");
  else
    out.fine("memory-limit",
             fmt::format("the application may use {} MiB of the {} left for it", limit, left));
}

void check_folder(const Facts& facts, std::uint64_t quota, std::string_view whose, const std::string& mend,
                  Findings& out) {
  auto needed = work_of(facts).folder;
  if (needed == 0) return;
  if (needed > quota)
    out.problem(
        "data-folder",
        fmt::format("package and data have {} MiB, and the shared folder holds {}: {}", needed, quota, whose),
        mend);
  else
    out.fine("data-folder",
             fmt::format("package and data have {} MiB; the shared folder holds {}", needed, quota));
}

// Whose memory is this machine's.
void check_simulated(const Facts& facts, Findings& out) {
  auto work = work_of(facts);
  const auto& machine = facts.machine;
  if (!work.any()) return;
  if (work.package_least + work.data > machine.available_mib)
    out.problem(
        "memory-work",
        fmt::format("{} do not fit: this machine has {} MiB to spare", in_words(work), machine.available_mib),
        "use a machine with more memory, or end something");
  else if (work.package_guess + work.data > machine.available_mib)
    out.warn("memory-work",
             fmt::format("{} may not fit: this machine has {} MiB to spare", in_words(work),
                         machine.available_mib),
             "use a machine with more memory, or end something");
  else
    out.fine("memory-work", fmt::format("{} leave {} MiB for the application", in_words(work),
                                        machine.available_mib - work.package_guess - work.data));
  check_limit(facts, machine.available_mib, out);
  check_folder(facts, machine.memory_mib / kShareDivisor, "a quarter of this machine's memory",
               fmt::format("cloister up --share-mib {}", in_steps(work.folder + work.folder / 4)), out);
}

}  // namespace

std::uint64_t enclave_memory_mib(const Facts& facts) {
  const auto* image = usable_image(facts);
  if (image == nullptr) return 0;
  if (facts.asked.memory_mib != 0) return facts.asked.memory_mib;
  if (facts.asked.backend != "nitro") return image->memory_mib;
  return std::max(image->memory_mib, in_mib(host::kEifMemoryRatio * image->file_bytes));
}

std::uint64_t fitting_memory_mib(const Facts& facts) {
  const auto* image = usable_image(facts);
  if (image == nullptr) return 0;
  auto work = work_of(facts);
  auto advised = image::advised_memory_mib(image->footprint);
  auto out = advised;
  if (facts.asked.backend == "nitro")
    out = std::max(out, in_steps(in_mib(host::kEifMemoryRatio * image->file_bytes)));
  auto needed = work.any() ? work.package_guess + work.data + kApplicationMib : 0;
  while (image::room_mib(image->footprint, out) < needed || folder_mib(out) < work.folder) out += kStepMib;
  return out;
}

void check_memory(const Facts& facts, Findings& out) {
  if (facts.data && !facts.data->error.empty())
    out.problem("data-folder", facts.data->error, "name a directory that you can read: --data DIR");
  if (facts.asked.backend == "process") check_simulated(facts, out);
  const auto* image = usable_image(facts);
  auto memory = enclave_memory_mib(facts);
  if (facts.asked.backend == "process" || image == nullptr) return;
  bool boots = check_least(facts, *image, memory, out);
  if (facts.asked.backend == "nitro") {
    check_file(facts, *image, memory, out);
    if (facts.nitro.host.device) check_node(facts, memory, out);
  } else {
    check_host(facts.machine, memory, out);
  }
  if (!boots) return;  // what is said above mends the rest, too
  check_work(facts, *image, memory, out);
  check_limit(facts, image::room_mib(image->footprint, memory), out);
  check_folder(facts, folder_mib(memory), "a quarter of the enclave's memory", more_memory(facts), out);
}

}  // namespace cloister::doctor
