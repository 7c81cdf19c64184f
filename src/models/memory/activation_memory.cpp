#include "models/memory/activation_memory.h"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "models/unet/unet_2d_condition.h"
#include "nn/meta_run.h"
#include "nn/prompt_projections.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

constexpr std::int64_t kPromptLength = 77;

/// Runs `call` on a model without weights and returns the peak above what was alive before.
template <class Model, class ModelConfig, class Call>
std::int64_t peak_of(const ModelConfig& config, const Placement& placement, const Call& call) {
  const c10::InferenceMode inference;
  MetaRun run(placement.device.type());
  const bool converts = placement.device.is_cpu() || placement.storage == WeightStorage::kBlocks;
  const auto storage = converts ? placement.storage : WeightStorage::kCompute;
  const Placement meta{.device = at::kMeta, .dtype = placement.dtype, .storage = storage};
  // Every tensor is missing, so it is replaced by one without memory. finish(), which would throw, is not called.
  Weights weights(std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{}), meta);
  const Model model(config, weights.root());
  const auto held = run.live_bytes();
  run.reset_peak();
  call(model, at::TensorOptions().device(at::kMeta).dtype(placement.dtype));
  return run.peak_bytes() - held;
}

UNetInput input_of(const UNet2DConditionConfig& config, const LatentSize& size, const at::TensorOptions& options) {
  UNetInput input;
  const auto rows = size.rows;
  input.sample = at::empty({rows, config.in_channels, size.height, size.width}, options);
  input.timesteps = at::empty({rows}, options.dtype(at::kFloat));
  input.encoder_hidden_states = at::empty({rows, kPromptLength, config.levels[0].cross_attention_dim}, options);
  if (config.addition_embed_type == AdditionEmbedType::kTextTime) {
    // The config does not tell how many numbers accompany the pooled prompt, only their total width.
    input.added_time_ids = at::empty({rows, 1}, options.dtype(at::kFloat));
    input.added_text_embeds =
        at::empty({rows, config.projection_class_embeddings_input_dim - config.addition_time_embed_dim}, options);
  }
  switch (config.class_embed_type) {
    case ClassEmbedType::kNone:
      break;
    case ClassEmbedType::kEmbedding:
      input.class_labels = at::empty({rows}, options.dtype(at::kLong));
      break;
    case ClassEmbedType::kTimestep:
      input.class_labels = at::empty({rows}, options.dtype(at::kFloat));
      break;
    case ClassEmbedType::kIdentity:
      input.class_labels = at::empty({rows, config.time_embedding_dim}, options);
      break;
    case ClassEmbedType::kProjection:
    case ClassEmbedType::kSimpleProjection:
      input.class_labels = at::empty({rows, config.projection_class_embeddings_input_dim}, options);
      break;
  }
  return input;
}

/// Two steps of an image, because the second has what the first kept of the prompts from its beginning.
/// @param timesteps  that the image keeps projections of, or undefined
template <class Model, class Input>
void run_steps(const Model& model, const Input& input, const LatentSize& size, std::int64_t tokens,
               const at::Tensor& timesteps = {}) {
  const std::vector<ImageRows> images{{.projections = std::make_shared<PromptProjections>(),
                                       .rows = size.rows,
                                       .tokens = tokens,
                                       .timesteps = timesteps}};
  const RunContext ctx{.images = &images};
  model(input, ctx);
  model(input, ctx);
}

}  // namespace

std::int64_t step_bytes(const UNet2DConditionConfig& config, const LatentSize& size, const Placement& placement) {
  return peak_of<UNet2DConditionModel>(config, placement, [&](const auto& unet, const at::TensorOptions& options) {
    constexpr std::int64_t kSteps = 50;
    const auto timesteps = placement.device.is_cpu() ? at::Tensor() : at::empty({kSteps}, options.dtype(at::kFloat));
    run_steps(unet, input_of(config, size, options), size, kPromptLength, timesteps);
  });
}

std::int64_t step_bytes(const ZImageTransformer2DConfig& config, const LatentSize& size, const Placement& placement) {
  constexpr std::int64_t kLongestPrompt = 512;
  return peak_of<ZImageTransformer2DModel>(config, placement, [&](const auto& model, const at::TensorOptions& options) {
    const auto tokens = std::min(kLongestPrompt, (config.axes_lens[0] - 2) / 32 * 32);
    const ZImageInput input{.sample = at::empty({size.rows, config.in_channels, size.height, size.width}, options),
                            .timesteps = at::empty({size.rows}, options.dtype(at::kFloat)),
                            .prompt_embeds = at::empty({size.rows, tokens, config.cap_feat_dim}, options),
                            .prompt_lengths = std::vector<std::int64_t>(static_cast<std::size_t>(size.rows), tokens)};
    run_steps(model, input, size, tokens);
  });
}

std::int64_t step_bytes(const FluxTransformer2DConfig& config, const LatentSize& size, const Placement& placement,
                        const std::optional<LatentSize>& reference) {
  constexpr std::int64_t kPromptTokens = 512;  // every prompt is filled up to them
  return peak_of<FluxTransformer2DModel>(config, placement, [&](const auto& model, const at::TensorOptions& options) {
    const auto latents = [&](const LatentSize& own) {
      return at::empty({size.rows, config.latent_channels(), own.height, own.width}, options);
    };
    model({.sample = latents(size),
           .timesteps = at::empty({size.rows}, options.dtype(at::kFloat)),
           .guidance = config.guidance_embeds ? at::empty({size.rows}, options) : at::Tensor(),
           .prompt_embeds = at::empty({size.rows, kPromptTokens, config.joint_attention_dim}, options),
           .pooled_prompt = at::empty({size.rows, config.pooled_projection_dim}, options),
           .reference = reference ? latents(*reference) : at::Tensor()},
          {});
  });
}

std::int64_t step_bytes(const SD3Transformer2DConfig& config, const LatentSize& size, const Placement& placement) {
  constexpr std::int64_t kT5Length = 256;
  return peak_of<SD3Transformer2DModel>(config, placement, [&](const auto& model, const at::TensorOptions& options) {
    model({.sample = at::empty({size.rows, config.in_channels, size.height, size.width}, options),
           .timesteps = at::empty({size.rows}, options.dtype(at::kFloat)),
           .prompt_embeds = at::empty({size.rows, kPromptLength + kT5Length, config.joint_attention_dim}, options),
           .pooled_projections = at::empty({size.rows, config.pooled_projection_dim}, options)},
          {});
  });
}

std::int64_t step_bytes(const PixArtTransformer2DConfig& config, const LatentSize& size, const Placement& placement) {
  constexpr std::int64_t kT5Length = 300;
  return peak_of<PixArtTransformer2DModel>(config, placement, [&](const auto& model, const at::TensorOptions& options) {
    const PixArtInput input{
        .sample = at::empty({size.rows, config.in_channels, size.height, size.width}, options),
        .timesteps = at::empty({size.rows}, options.dtype(at::kFloat)),
        .prompt_embeds = at::empty({size.rows, kT5Length, config.caption_channels}, options),
        .prompt_lengths = std::vector<std::int64_t>(static_cast<std::size_t>(size.rows), kT5Length)};
    run_steps(model, input, size, kT5Length);
  });
}

std::int64_t step_bytes(const Flux2Transformer2DConfig& config, const LatentSize& size, const Placement& placement,
                        std::span<const LatentSize> references) {
  constexpr std::int64_t kPromptTokens = 512;
  return peak_of<Flux2Transformer2DModel>(config, placement, [&](const auto& model, const at::TensorOptions& options) {
    const auto latents = [&](const LatentSize& own) {
      return at::empty({size.rows, config.in_channels, own.height, own.width}, options);
    };
    Flux2Input input{.sample = latents(size),
                     .timesteps = at::empty({size.rows}, options),
                     .prompt_embeds = at::empty({size.rows, kPromptTokens, config.joint_attention_dim}, options)};
    for (const auto& reference : references) input.references.push_back(latents(reference));
    model(input, {});
  });
}

std::int64_t decode_bytes(const AutoencoderKLConfig& config, const LatentSize& size, const Placement& placement) {
  return peak_of<AutoencoderKL>(config, placement, [&](const auto& vae, const at::TensorOptions& options) {
    vae.decode(at::empty({size.rows, config.latent_channels, size.height, size.width}, options), {});
  });
}

std::int64_t encode_bytes(const AutoencoderKLConfig& config, const LatentSize& size, const Placement& placement) {
  const auto scale = config.scale();
  return peak_of<AutoencoderKL>(config, placement, [&](const auto& vae, const at::TensorOptions& options) {
    vae.encode(at::empty({size.rows, config.in_channels, size.height * scale, size.width * scale}, options), {});
  });
}

}  // namespace easel
