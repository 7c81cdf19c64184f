// Z-Image's own names, after convert_z_image_transformer_checkpoint_to_diffusers of diffusers 0.42.1.

#include "checkpoints/layouts/denoiser_file.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr std::int64_t kZImageHead = 128;  // channels of a head, of the published models

constexpr LayerSpelling kZImageEnds[] = {{"x_embedder.", "all_x_embedder.2-1."},
                                         {"final_layer.", "all_final_layer.2-1."}};
constexpr LayerSpelling kZImageAttention[] = {{"attention.out.", "attention.to_out.0."},
                                              {"attention.q_norm.", "attention.norm_q."},
                                              {"attention.k_norm.", "attention.norm_k."}};
constexpr std::string_view kZImageFused = "attention.qkv.";

bool is_z_image(const NameSet& names, const std::string& prefix) {
  return names.has(prefix + "layers.0.adaLN_modulation.0.weight");
}

std::string z_image_name(const std::string& rest) {
  if (rest.find(kZImageFused) != std::string::npos || rest.starts_with("norm_final.")) return "";
  for (const auto& [original, diffusers] : kZImageEnds) {
    if (rest.starts_with(original)) return concat(diffusers, rest.substr(original.size()));
  }
  for (const auto& [original, diffusers] : kZImageAttention) {
    if (const auto at = rest.find(original); at != std::string::npos) {
      return concat(rest.substr(0, at), diffusers, rest.substr(at + original.size()));
    }
  }
  return rest;
}

OriginalNames z_image_names(const TensorStore& file, const std::string& prefix) {
  auto names = renamed_tensors(file, prefix, &z_image_name);
  for (const auto& stored : file.names()) {
    const auto at = stored.find(kZImageFused);
    if (!stored.starts_with(prefix) || at == std::string::npos) continue;
    const auto block = stored.substr(prefix.size(), at - prefix.size()), kind = stored.substr(at + kZImageFused.size());
    add_fused(names, stored, concat(block, "attention.to_q.", kind), concat(block, "attention.to_k.", kind),
              concat(block, "attention.to_v.", kind));
  }
  return names;
}

nlohmann::json z_image_config(const TensorStore& weights) {
  const NameSet names(weights);
  const auto dim = required_shape(weights, "layers.0.attention.to_q.weight", 2)[0];
  const auto head = required_shape(weights, "layers.0.attention.norm_q.weight", 1)[0];
  if (head != kZImageHead || dim % head != 0) {
    throw Error(ErrorCode::kUnsupported, concat(weights.where(), " is a Z-Image with heads of ", head,
                                                " channels, of which a file does not tell ",
                                                "the rest; name a folder with its configs as `configs`"));
  }
  const auto patch = required_shape(weights, "all_x_embedder.2-1.weight", 2)[1];
  return {{"_class_name", "ZImageTransformer2DModel"},
          {"dim", dim},
          {"n_heads", dim / head},
          {"n_layers", names.count("layers.")},
          {"n_refiner_layers", names.count("noise_refiner.")},
          {"in_channels", patch / 4},
          {"cap_feat_dim", required_shape(weights, "cap_embedder.1.weight", 2)[1]},
          {"axes_lens", {1536, 512, 512}}};
}

/// Turbo's, which is also what diffusers takes for a file.
nlohmann::json z_image_scheduler(const TensorStore&) {
  return {{"_class_name", "FlowMatchEulerDiscreteScheduler"},
          {"num_train_timesteps", 1000},
          {"use_dynamic_shifting", false},
          {"shift", 3.0}};
}

}  // namespace

const ComponentLayout kZImageLayout{
    .class_name = "ZImageTransformer2DModel", .fits = &is_z_image, .names = &z_image_names, .config = &z_image_config};

DenoiserFile z_image_file() {
  return {.name = "Z-Image",
          .class_name = "ZImagePipeline",
          .denoiser_class = "ZImageTransformer2DModel",
          .text_encoders = {{.component = Component::kTextEncoder,
                             .class_name = "Qwen3Model",
                             .tokenizer_class = "Qwen2Tokenizer"}},
          .scheduler = &z_image_scheduler,
          .vae = {{"scaling_factor", 0.3611}, {"shift_factor", 0.1159}, {"force_upcast", true}, {"sample_size", 1024}}};
}

}  // namespace easel
