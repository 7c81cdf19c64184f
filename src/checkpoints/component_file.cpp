#include "checkpoints/component_file.h"

#include <utility>

#include "checkpoints/layouts/component_layout.h"
#include "checkpoints/single_file_configs.h"
#include "checkpoints/tiny_autoencoder.h"
#include "checkpoints/unused_tensors.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/format/file_names.h"
#include "weights/stores/gguf_file.h"
#include "weights/stores/key_mapping.h"
#include "weights/stores/quantization.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

constexpr char kVaeClass[] = "AutoencoderKL";
constexpr std::string_view kClipClass = "CLIPTextModel";
constexpr std::string_view kClipWithProjection = "CLIPTextModelWithProjection";

bool is_clip(const std::string& class_name) {
  return class_name == kClipClass || class_name == kClipWithProjection;
}

std::optional<OriginalTextEncoder> find_clip(const NameSet& names, const std::string& prefix) {
  // find_text_encoder adds what Stable Diffusion's files have after the prefix.
  constexpr std::string_view kTransformer = "transformer.";
  if (prefix.empty()) return find_text_encoder(names, "");
  if (!prefix.ends_with(kTransformer)) return std::nullopt;
  return find_text_encoder(names, prefix.substr(0, prefix.size() - kTransformer.size()));
}

OriginalNames clip_names(const OriginalTextEncoder& encoder, const std::string& class_name) {
  auto names = names_of(encoder);
  if (class_name == kClipClass) names.erase("text_projection.weight");
  return names;
}

}  // namespace

std::shared_ptr<const TensorStore> open_tensor_file(const std::string& path) {
  if (is_gguf_name(path)) return std::make_shared<GgufFile>(path);
  const auto file = std::make_shared<SafetensorsFile>(path);
  refuse_unknown_quantization(*file);
  return with_both_tiny_halves(with_scales(file), path);
}

bool is_read_from_files(const std::string& class_name) {
  return class_name == kVaeClass || is_clip(class_name) || find_layout(class_name) != nullptr;
}

std::optional<std::string> find_in_file(const NameSet& names, const std::string& class_name) {
  if (class_name == kVaeClass) {
    if (names.has_prefix("encoder.down_blocks.") || is_tiny_autoencoder(names)) return "";
    return find_vae(names);
  }
  if (is_clip(class_name)) {
    for (const char* prefix : {"", "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."}) {
      if (find_clip(names, prefix)) return prefix;
    }
    return std::nullopt;
  }
  const auto* layout = find_layout(class_name);
  if (layout == nullptr) return std::nullopt;
  for (const char* prefix : {"", "model.diffusion_model.", "text_encoders.t5xxl.transformer."}) {
    if (layout->fits(names, prefix)) return prefix;
  }
  return std::nullopt;
}

ComponentFile::ComponentFile(std::shared_ptr<const TensorStore> file, const std::string& prefix,
                             const std::string& class_name, nlohmann::json vae, std::vector<std::string> ignored)
    : file_(std::move(file)),
      prefix_(prefix),
      class_name_(class_name),
      vae_(std::move(vae)),
      ignored_(std::move(ignored)) {
  const NameSet names(*file_);
  const auto* layout = find_layout(class_name);
  is_tiny_ = class_name == kVaeClass && is_tiny_autoencoder(names);
  has_original_vae_ = class_name == kVaeClass && !is_tiny_ && !names.has_prefix(prefix + "encoder.down_blocks.");
  const bool fits = class_name == kVaeClass ? !has_original_vae_ || names.has_prefix(prefix + "encoder.down.")
                    : is_clip(class_name)   ? find_clip(names, prefix).has_value()
                                            : layout != nullptr && layout->fits(names, prefix);
  if (fits) return;
  throw Error(ErrorCode::kCorruptData,
              concat(file_->where(), " does not hold a ", class_name, ", as its tensors' names show"));
}

std::shared_ptr<const TensorStore> ComponentFile::weights() const {
  if (is_tiny_) return file_;
  if (class_name_ == kVaeClass && !has_original_vae_) return with_attention_names(file_);
  OriginalNames names;
  auto kind = FilePart::Kind::kTransformer;
  if (class_name_ == kVaeClass) {
    kind = FilePart::Kind::kVae;
    names = original_vae_names(original_vae_layout(NameSet(*file_), prefix_), prefix_);
  } else if (is_clip(class_name_)) {
    kind = FilePart::Kind::kTextEncoder;
    names = clip_names(find_clip(NameSet(*file_), prefix_).value(), class_name_);
  } else {
    names = find_layout(class_name_)->names(*file_, prefix_);
  }
  auto used = names;
  if (is_clip(class_name_)) used = names_of(find_clip(NameSet(*file_), prefix_).value());
  check_all_used(*file_, {.kind = kind, .prefix = prefix_}, used, ignored_);
  return with_diffusers_names(file_, std::move(names));
}

nlohmann::json ComponentFile::config() const {
  const NameSet names(*file_);
  if (is_tiny_) return tiny_config_of(*file_);
  if (class_name_ == kVaeClass) {
    if (!has_original_vae_) {
      throw Error(ErrorCode::kUnsupported,
                  concat(file_->where(), " is an autoencoder with diffusers' names, whose sizes easel takes from its ",
                         "config.json; name its folder, or a folder with the model's configs as `configs`"));
    }
    auto config = vae_config_of(*file_, original_vae_layout(names, prefix_), prefix_, VaeTraits{});
    config.update(vae_);
    config["use_quant_conv"] = names.has(prefix_ + "quant_conv.weight");
    config["use_post_quant_conv"] = names.has(prefix_ + "post_quant_conv.weight");
    return config;
  }
  if (is_clip(class_name_)) {
    const auto encoder = find_clip(names, prefix_).value();
    const bool is_large = class_name_ == kClipWithProjection && encoder.layers > 12;
    return text_config_of(*file_, encoder, is_large ? "gelu" : "quick_gelu");
  }
  return find_layout(class_name_)->config(*weights());
}

}  // namespace easel
