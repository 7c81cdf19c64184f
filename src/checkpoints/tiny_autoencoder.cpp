#include "checkpoints/tiny_autoencoder.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/stores/quantization.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEncoder = "encoder", kDecoder = "decoder";
// A first convolution, and the first of the residual blocks after it. The decoder begins with a layer without weights.
constexpr const char* kEncoderNames[] = {"0.weight", "1.conv.0.weight"};
constexpr const char* kDecoderNames[] = {"1.weight", "3.conv.0.weight"};
// The layers of the decoder are counted from that one, which is not a layer in diffusers.
constexpr std::int64_t kDecoderOffset = 1;

bool has_all(const NameSet& names, const auto& wanted) {
  return std::ranges::all_of(wanted, [&](const char* name) { return names.has(name); });
}

/// Several stores with different names as one.
class JoinedStore : public TensorStore {
 public:
  explicit JoinedStore(std::vector<std::shared_ptr<const TensorStore>> parts) : parts_(std::move(parts)) {}

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& part : parts_) {
      auto names = part->names();
      all.insert(all.end(), names.begin(), names.end());
    }
    return all;
  }
  const TensorInfo* find(const std::string& name) const override { return part_of(name).find(name); }
  at::Tensor read(const std::string& name) const override { return part_of(name).read(name); }
  void release(const std::string& name) const override { part_of(name).release(name); }
  std::string where() const override { return parts_.front()->where(); }
  std::string stored_name(const std::string& name) const override { return part_of(name).stored_name(name); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override {
    std::vector<std::shared_ptr<const MappedFile>> all;
    for (const auto& part : parts_) {
      auto files = part->mapped_files();
      all.insert(all.end(), files.begin(), files.end());
    }
    return all;
  }

 private:
  const TensorStore& part_of(const std::string& name) const {
    const auto found = std::ranges::find_if(parts_, [&](const auto& part) { return part->find(name) != nullptr; });
    return found == parts_.end() ? *parts_.front() : **found;
  }

  std::vector<std::shared_ptr<const TensorStore>> parts_;
};

/// @param half  its name in diffusers
std::shared_ptr<const TensorStore> with_names_of(std::string_view half, std::shared_ptr<const TensorStore> file) {
  OriginalNames names;
  for (const auto& name : file->names()) {
    const auto dot = name.find('.');
    const auto number = std::strtoll(name.c_str(), nullptr, 10);
    const auto layer = half == kDecoder ? number - kDecoderOffset : number;
    if (dot == std::string::npos || layer < 0) continue;
    names[concat(half, ".layers.", layer, name.substr(dot))] = {.name = name};
  }
  return with_diffusers_names(std::move(file), std::move(names));
}

/// The path of the other half; empty if the name does not tell.
std::string other_path(const std::string& path, std::string_view own, std::string_view other) {
  auto name = fs::path(path).filename().string();
  const auto at = name.rfind(own);
  if (at == std::string::npos) return "";
  name.replace(at, own.size(), other);
  return (fs::path(path).parent_path() / name).string();
}

/// The sizes of one half.
struct HalfSizes {
  std::vector<std::int64_t> channels;  ///< of each level
  std::vector<std::int64_t> blocks;    ///< of each level
};

std::int64_t channels_of(const TensorStore& file, const std::string& name, std::size_t dimension) {
  const auto* info = file.find(name);
  if (info == nullptr || info->shape.size() != 4) {
    throw Error(ErrorCode::kCorruptData, concat(file.where(), " has no convolution `", name, "`"));
  }
  return info->shape[dimension];
}

/// A level of the encoder begins with a convolution, one of the decoder ends with one. Layers without weights have no
/// tensors.
HalfSizes sizes_of(const TensorStore& file, std::string_view half) {
  std::map<std::int64_t, bool> layers;  // number, whether it is a block
  const auto prefix = concat(half, ".layers.");
  for (const auto& name : file.names()) {
    if (!name.starts_with(prefix)) continue;
    const auto rest = name.substr(prefix.size());
    layers[std::strtoll(rest.c_str(), nullptr, 10)] |= rest.find(".conv.") != std::string::npos;
  }
  HalfSizes sizes;
  std::int64_t blocks = 0;
  for (const auto& [number, is_block] : layers) {
    blocks += is_block ? 1 : 0;
    if (is_block || number == 0) continue;
    sizes.channels.push_back(channels_of(file, concat(prefix, number, ".weight"), 1));
    sizes.blocks.push_back(std::exchange(blocks, 0));
  }
  return sizes;
}

}  // namespace

bool is_tiny_autoencoder(const NameSet& names) {
  return names.has("decoder.layers.0.weight") && names.has("encoder.layers.0.weight");
}

std::shared_ptr<const TensorStore> with_both_tiny_halves(std::shared_ptr<const TensorStore> file,
                                                         const std::string& path) {
  const NameSet names(*file);
  const bool decodes = has_all(names, kDecoderNames), encodes = has_all(names, kEncoderNames);
  if (decodes == encodes) return file;
  const auto own = decodes ? kDecoder : kEncoder, other = decodes ? kEncoder : kDecoder;
  const auto second = other_path(path, own, other);
  if (second.empty() || !fs::exists(second)) {
    throw Error(ErrorCode::kNotFound,
                concat(path, " is the ", own, " of a tiny autoencoder; its ", other, " must be next to it, as ",
                       second.empty() ? concat("a file whose name differs in \"", own, "\" and \"", other, "\" only")
                                      : fs::path(second).filename().string()));
  }
  const auto opened = std::make_shared<SafetensorsFile>(second);
  refuse_unknown_quantization(*opened);
  auto other_half = with_scales(opened);
  if (!has_all(NameSet(*other_half), decodes ? kEncoderNames : kDecoderNames)) {
    throw Error(ErrorCode::kCorruptData, concat(second, " does not hold the ", other, " of a tiny autoencoder"));
  }
  return std::make_shared<JoinedStore>(
      std::vector{with_names_of(own, std::move(file)), with_names_of(other, std::move(other_half))});
}

nlohmann::json tiny_config_of(const TensorStore& file) {
  const auto encoder = sizes_of(file, kEncoder), decoder = sizes_of(file, kDecoder);
  return {{"_class_name", "AutoencoderTiny"},
          {"in_channels", channels_of(file, "encoder.layers.0.weight", 1)},
          {"out_channels", 3},
          {"latent_channels", channels_of(file, "decoder.layers.0.weight", 1)},
          {"encoder_block_out_channels", encoder.channels},
          {"decoder_block_out_channels", decoder.channels},
          {"num_encoder_blocks", encoder.blocks},
          {"num_decoder_blocks", decoder.blocks}};
}

}  // namespace easel
