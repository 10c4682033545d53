#include "builder/build.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "builder/kernel.h"
#include "builder/oci.h"
#include "builder/ramdisk.h"
#include "builder/sources.h"
#include "builder/trust_text.h"
#include "image/eif_metadata.h"
#include "image/memory.h"
#include "sys/file.h"

namespace cloister::builder {

namespace {

constexpr std::size_t kMaxAuthorities = 512 * 1024;  // bytes of PEM
constexpr std::uint64_t kPage = 4096;                // bytes
constexpr std::uint64_t kMebibyte = 1024 * 1024;     // bytes
constexpr std::uint64_t kJobMib = 512;               // for applications, where the recipe says nothing

// What AWS's enclave images have, with the processor's generator not trusted: init credits the security
// module's.
constexpr std::string_view kCommandLine =
    "reboot=k panic=30 pci=off nomodules console=ttyS0 random.trust_cpu=off";

// An image has no time of its own: its bytes would differ from one build to the next.
constexpr const char* kNoTime = "1970-01-01T00:00:00+00:00";

// Who vouches for KMS's endpoints: Amazon's own roots, of Debian's ca-certificates.
constexpr std::array<const char*, 4> kAmazonRoots = {"Amazon_Root_CA_1", "Amazon_Root_CA_2",
                                                     "Amazon_Root_CA_3", "Amazon_Root_CA_4"};

Result<std::string> read_text(const std::string& path, std::size_t max) {
  auto bytes = TRY(sys::read_file(path, max));
  return std::string(as_text(bytes));
}

Result<std::string> amazon_roots() {
  std::string out;
  for (const char* name : kAmazonRoots) {
    auto pem = read_text(fmt::format("/usr/share/ca-certificates/mozilla/{}.crt", name), kMaxAuthorities);
    if (!pem)
      return std::unexpected(
          std::move(pem)
              .error()
              .context("Amazon's root certificates")
              .with_hint("apt-get install ca-certificates, or name them in the recipe: kms_ca: FILE.pem"));
    out += *pem;
  }
  return out;
}

Result<std::string> trust_of(const Recipe& recipe, const Ingredients& ingredients) {
  if (!recipe.trust.empty()) return check_trust(recipe.trust, recipe.mode);
  auto authorities = ingredients.kms_ca.empty() ? recipe.kms_ca : ingredients.kms_ca;
  if (!authorities.empty())
    return compose_trust(recipe.mode,
                         TRY(read_text(authorities, kMaxAuthorities).context("KMS's authorities")));
  if (recipe.mode == Mode::production) return compose_trust(recipe.mode, TRY(amazon_roots()));
  Error missing(ErrorKind::invalid, "an emulated image must know the embedded KMS's authority");
  return std::unexpected(
      std::move(missing).with_hint("--kms-ca FILE.pem, or kms_ca: FILE.pem in the recipe"));
}

// The parts of a recipe's root file system, one upon the other.
Result<image::FileTree> compose_runtime(const Recipe& recipe, const WorkFolder& work, const Say& say,
                                        image::Spool& spool) {
  image::FileTree tree;
  if (const auto* debian = std::get_if<DebianBase>(&recipe.base)) {
    TRY(apply_debian(*debian, recipe.architecture, work, say, tree, spool));
  } else if (const auto* directory = std::get_if<DirectoryBase>(&recipe.base)) {
    say(fmt::format("root file system: {}", directory->path));
    TRY(apply_directory(directory->path, tree, spool));
  } else if (const auto* oci = std::get_if<OciBase>(&recipe.base)) {
    say(fmt::format("root file system: layers of {}", oci->path));
    TRY(apply_oci(oci->path, recipe.architecture == image::Architecture::arm64 ? "arm64" : "amd64", tree,
                  spool));
  }
  if (!recipe.pip.empty()) TRY(apply_pip(recipe, work, say, tree, spool));
  for (const auto& path : recipe.without) {
    auto place = TRY(tree.resolve(path));
    if (!tree.remove(place)) return fail(ErrorKind::invalid, "without: there is no /{}", path);
  }
  for (const auto& file : recipe.files) TRY(apply_file(file, tree, spool));
  TRY(check_runtime(tree));
  return tree;
}

std::uint64_t pages_of(const image::FileTree& tree) {
  std::uint64_t bytes = 0;
  for (const auto& [path, node] : tree.entries()) {
    auto size = node.is_link() ? node.link.size() : node.content.size;
    bytes += std::max<std::uint64_t>(1, (size + kPage - 1) / kPage) * kPage;
  }
  return bytes;
}

Result<std::string> metadata_of(const Recipe& recipe, const std::string& kernel) {
  image::EifMetadata out;
  out.image_name = recipe.name;
  out.image_version = recipe.version;
  out.build_time = kNoTime;
  out.build_tool = "cloister";
  out.build_tool_version = CLOISTER_VERSION;
  const auto* debian = std::get_if<DebianBase>(&recipe.base);
  out.operating_system = debian == nullptr ? "none" : "debian " + debian->suite;
  out.kernel_version = kernel;
  out.custom = fmt::format(R"({{"mode":"{}"}})", to_string(recipe.mode));
  return out.to_json();
}

Status settle_memory(const Recipe& recipe, Composition& out) {
  std::uint64_t packed = 0;
  for (const auto& path : out.parts.ramdisk_paths) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return fail_errno(path);
    packed += static_cast<std::uint64_t>(about.st_size);
  }
  out.needed_memory_mib =
      image::advised_memory_mib({.packed_bytes = packed, .unpacked_bytes = out.unpacked_bytes});
  if (recipe.memory_mib != 0 && recipe.memory_mib < out.needed_memory_mib)
    return fail(ErrorKind::invalid, "memory_mib: {} is less than the {} that this image needs to start",
                recipe.memory_mib, out.needed_memory_mib);
  auto chosen = recipe.memory_mib == 0 ? out.needed_memory_mib + kJobMib : recipe.memory_mib;
  out.parts.default_memory = chosen * kMebibyte;
  return {};
}

}  // namespace

Result<Ingredients> find_programs(std::string folder) {
  std::error_code error;
  if (folder.empty()) folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  Ingredients out{folder + "/cloister-init", folder + "/cloisterd", ""};
  for (const auto& program : {out.init, out.supervisor}) {
    if (::access(program.c_str(), R_OK) == 0) continue;
    Error missing(ErrorKind::not_found, fmt::format("there is no {}", program));
    return std::unexpected(
        std::move(missing).with_hint("--programs DIR names the folder of cloister-init and cloisterd"));
  }
  return out;
}

Result<Composition> compose_image(const Recipe& recipe, const Ingredients& ingredients,
                                  const WorkFolder& work, const Say& say) {
  Composition out;
  auto spool = TRY(image::Spool::create(work.path()));
  auto trust = TRY(trust_of(recipe, ingredients));
  out.parts.architecture = recipe.architecture;
  out.parts.default_cpus = recipe.cpus;
  out.parts.command_line = std::string(kCommandLine);
  if (!recipe.command_line.empty()) out.parts.command_line += " " + recipe.command_line;
  auto boot = TRY(compose_boot({recipe.architecture, ingredients.init, ingredients.supervisor, trust,
                                out.parts.command_line, recipe.environment},
                               spool));
  image::FileTree runtime = TRY(compose_runtime(recipe, work, say, spool));
  TRY(add_contents(boot, runtime, spool));
  out.parts.kernel_path = TRY(find_kernel(recipe, work, say));
  auto kernel = TRY(kernel_version(out.parts.kernel_path, recipe.architecture));
  say(fmt::format("kernel: Linux {}", kernel));
  out.parts.metadata = TRY(metadata_of(recipe, kernel));
  out.unpacked_bytes = pages_of(boot) + pages_of(runtime);
  out.parts.ramdisk_paths = {work.below("boot.zst")};
  TRY(write_ramdisk(boot, spool, out.parts.ramdisk_paths[0]));
  if (!std::holds_alternative<std::monostate>(recipe.base)) {
    say(fmt::format("packing {} files, {} MiB", runtime.entries().size(),
                    runtime.content_bytes() / kMebibyte));
    out.parts.ramdisk_paths.push_back(work.below("runtime.zst"));
    TRY(write_ramdisk(runtime, spool, out.parts.ramdisk_paths[1]));
  }
  TRY(settle_memory(recipe, out));
  return out;
}

}  // namespace cloister::builder
