#include "builder/oci.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "builder/blobs.h"
#include "builder/layer.h"

namespace cloister::builder {

namespace {

using nlohmann::json;

constexpr int kMaxIndexDepth = 4;  // an index may name an index

struct LayerFile {
  std::string path;
  std::string diff_id;  // "sha256:…" of the unpacked tar
};

Result<json> parse(std::string_view text, std::string_view what) {
  auto out = json::parse(text, nullptr, false);
  if (!out.is_object() && !out.is_array()) return fail(ErrorKind::invalid, "{} is not JSON", what);
  return out;
}

Result<std::string> text_of(const json& object, const char* name) {
  if (!object.is_object() || !object.contains(name) || !object[name].is_string())
    return fail(ErrorKind::invalid, "no '{}'", name);
  return object[name].get<std::string>();
}

Result<std::vector<json>> list_of(const json& object, const char* name) {
  if (!object.is_object() || !object.contains(name) || !object[name].is_array() ||
      object[name].size() > kMaxLayers)
    return fail(ErrorKind::invalid, "no list '{}', or one of more than {}", name, kMaxLayers);
  return object[name].get<std::vector<json>>();
}

// Notes beside an image (signatures, build attestations) are listed in its index as platform "unknown".
bool fits(const json& descriptor, const std::string& architecture) {
  if (!descriptor.is_object() || !descriptor.contains("platform")) return true;
  auto actual = text_of(descriptor["platform"], "architecture");
  return actual && *actual == architecture;
}

// Follows indices down to the one manifest for the architecture.
Result<json> find_manifest(const BlobFolder& blobs, const json& index, const std::string& architecture,
                           int depth) {
  if (depth > kMaxIndexDepth) return fail(ErrorKind::invalid, "indices of indices of indices");
  std::vector<json> fitting;
  for (auto& descriptor : TRY(list_of(index, "manifests"))) {
    if (fits(descriptor, architecture)) fitting.push_back(std::move(descriptor));
  }
  if (fitting.size() != 1)
    return fail(ErrorKind::invalid, "{} images for {} in its index, where one is wanted", fitting.size(),
                architecture);
  auto digest = TRY(text_of(fitting.front(), "digest"));
  auto text = TRY(blobs.read_json(digest));
  auto found = TRY(parse(text, digest));
  if (found.contains("manifests")) return find_manifest(blobs, found, architecture, depth + 1);
  return found;
}

Result<std::vector<std::string>> diff_ids(const std::string& configuration, const std::string& architecture,
                                          std::size_t layers) {
  auto config = TRY(parse(configuration, "its configuration"));
  auto actual = TRY(text_of(config, "architecture"));
  if (actual != architecture) return fail(ErrorKind::invalid, "it is for {}, not {}", actual, architecture);
  std::vector<std::string> out;
  if (!config.contains("rootfs")) return fail(ErrorKind::invalid, "its configuration has no 'rootfs'");
  for (const auto& id : TRY(list_of(config["rootfs"], "diff_ids"))) {
    if (!id.is_string()) return fail(ErrorKind::invalid, "a diff_id that is no text");
    out.push_back(id.get<std::string>());
  }
  if (out.size() != layers)
    return fail(ErrorKind::invalid, "{} layers, and digests of {}", layers, out.size());
  return out;
}

Result<std::vector<LayerFile>> layers_of_layout(const BlobFolder& blobs, const std::string& architecture) {
  auto text = TRY(blobs.read("index.json", kMaxOciJson));
  auto index = TRY(parse(as_text(text), "index.json"));
  auto manifest = TRY(find_manifest(blobs, index, architecture, 0));
  if (!manifest.contains("config")) return fail(ErrorKind::invalid, "its manifest names no configuration");
  auto config_digest = TRY(text_of(manifest["config"], "digest"));
  auto descriptors = TRY(list_of(manifest, "layers"));
  auto configuration = TRY(blobs.read_json(config_digest));
  auto ids = TRY(diff_ids(configuration, architecture, descriptors.size()));
  std::vector<LayerFile> out;
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    auto digest = TRY(text_of(descriptors[i], "digest"));
    auto path = TRY(blobs.blob(digest));
    out.push_back({path, ids[i]});
  }
  return out;
}

// `docker save` before it wrote OCI layouts: manifest.json names the configuration and the layers as files.
Result<std::vector<LayerFile>> layers_of_docker_archive(const BlobFolder& blobs,
                                                        const std::string& architecture) {
  auto text = TRY(blobs.read("manifest.json", kMaxOciJson));
  auto manifest = TRY(parse(as_text(text), "manifest.json"));
  if (!manifest.is_array() || manifest.size() != 1)
    return fail(ErrorKind::invalid, "manifest.json lists {} images, where one is wanted", manifest.size());
  auto names = TRY(list_of(manifest[0], "Layers"));
  auto config_name = TRY(text_of(manifest[0], "Config"));
  auto configuration = TRY(blobs.read(config_name, kMaxOciJson));
  auto ids = TRY(diff_ids(std::string(as_text(configuration)), architecture, names.size()));
  std::vector<LayerFile> out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!names[i].is_string()) return fail(ErrorKind::invalid, "a layer's name that is no text");
    auto path = TRY(blobs.file(names[i].get<std::string>()));
    out.push_back({path, ids[i]});
  }
  return out;
}

}  // namespace

Status apply_oci(const std::string& path, const std::string& architecture, image::FileTree& tree,
                 image::Spool& spool) {
  auto blobs = TRY(BlobFolder::open(path));
  std::vector<LayerFile> layers;
  if (blobs.has("index.json")) {
    layers = TRY(layers_of_layout(blobs, architecture).context(path));
  } else if (blobs.has("manifest.json")) {
    layers = TRY(layers_of_docker_archive(blobs, architecture).context(path));
  } else {
    return fail(ErrorKind::invalid, "{} is neither an OCI layout nor a docker archive", path);
  }
  const char* temporary = ::getenv("TMPDIR");
  auto folder = TRY(WorkFolder::create(temporary == nullptr ? "/tmp" : temporary));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    auto what = fmt::format("{}: layer {}", path, i + 1);
    auto digest = TRY(unpack_layer(layers[i].path, folder.below("layer.tar"), kMaxLayer).context(what));
    if (digest != layers[i].diff_id)
      return fail(ErrorKind::corrupt, "{} unpacks to {}, not to {}", what, digest, layers[i].diff_id);
    TRY(apply_layer(folder.below("layer.tar"), {.whiteouts = true}, tree, spool).context(what));
  }
  return {};
}

}  // namespace cloister::builder
