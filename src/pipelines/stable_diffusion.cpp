// The denoising loop of diffusers' StableDiffusionPipeline, cut into resumable steps.
#include "pipelines/stable_diffusion.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_lstsq.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include "core/config.h"
#include "core/text.h"
#include "pipelines/device_event.h"
#include "pipelines/guidance.h"
#include "pipelines/postprocess.h"
#include "pipelines/torch_errors.h"
#include "weights/key_mapping.h"

namespace easel {
namespace {

constexpr int kGpuGenerationsPerStep = 8;

std::int64_t as_signed(std::size_t n) { return static_cast<std::int64_t>(n); }

std::vector<StableDiffusionGeneration*> own(std::span<Generation* const> generations) {
  std::vector<StableDiffusionGeneration*> rows;
  for (Generation* generation : generations) rows.push_back(static_cast<StableDiffusionGeneration*>(generation));
  if (rows.empty()) throw Error(ErrorCode::kInvalidArgument, "no generation given");
  return rows;
}

/// Builds a model from its config and tensors, all of them and no others.
template <class Model, class ModelConfig>
Model load_component(std::shared_ptr<const TensorStore> store, const ModelConfig& config, const Placement& placement) {
  Weights weights(std::move(store), placement);
  Model model(config, weights.root());
  weights.finish();
  return model;
}

class SdBeginTicket : public BeginTicket {
 public:
  SdBeginTicket(std::vector<std::unique_ptr<Generation>> generations, c10::Device device)
      : generations_(std::move(generations)), event_(device) {}
  bool done() const override { return event_.passed(); }
  void wait() override { with_torch_errors([&] { event_.wait(); }); }
  std::vector<std::unique_ptr<Generation>> take() override { return std::move(generations_); }

 private:
  std::vector<std::unique_ptr<Generation>> generations_;
  DeviceEvent event_;
};

class SdStepTicket : public StepTicket {
 public:
  /// @param finite  bool [n], on its way to the CPU
  SdStepTicket(at::Tensor finite, c10::Device device) : finite_(std::move(finite)), event_(device) {}
  bool done() const override { return event_.passed(); }
  void wait() override { with_torch_errors([&] { event_.wait(); }); }
  std::vector<bool> finite() override {
    const bool* flags = finite_.const_data_ptr<bool>();
    return std::vector<bool>(flags, flags + finite_.numel());  // braces would make two flags of the pointers
  }

 private:
  at::Tensor finite_;
  DeviceEvent event_;
};

class SdFinishTicket : public FinishTicket {
 public:
  struct Picture {
    at::Tensor pixels;
    Canvas canvas;
    std::uint64_t seed;
  };
  SdFinishTicket(std::vector<Picture> pictures, c10::Device device) : pictures_(std::move(pictures)), event_(device) {}
  bool done() const override { return event_.passed(); }
  void wait() override { with_torch_errors([&] { event_.wait(); }); }
  std::vector<GeneratedImage> take() override {
    std::vector<GeneratedImage> images;
    for (const auto& [pixels, canvas, seed] : pictures_) {
      images.push_back({.image = to_answer(to_image(pixels), canvas), .seed = seed});
    }
    return images;
  }

 private:
  std::vector<Picture> pictures_;
  DeviceEvent event_;
};

PromptEncoder load_prompt_encoder(const CheckpointFolder& folder, const Placement& placement) {
  const auto directory = folder.file("text_encoder");
  auto config = Config::read_file(directory + "/config.json", directory + "/config.json");
  return PromptEncoder(load_clip_tokenizer(folder.file("tokenizer")),
                       load_component<CLIPTextModel>(open_component(directory, "model"), CLIPTextConfig::from(config),
                                                      placement),
                       placement.device);
}

UNet2DConditionModel load_unet(const CheckpointFolder& folder, const Placement& placement) {
  const auto directory = folder.file("unet");
  auto config = Config::read_file(directory + "/config.json", directory + "/config.json");
  return load_component<UNet2DConditionModel>(open_component(directory, "diffusion_pytorch_model"),
                                              UNet2DConditionConfig::from(config), placement);
}

AutoencoderKL load_vae(const CheckpointFolder& folder, const Placement& placement) {
  const auto directory = folder.file("vae");
  auto config = Config::read_file(directory + "/config.json", directory + "/config.json");
  return load_component<AutoencoderKL>(with_attention_names(open_component(directory, "diffusion_pytorch_model")),
                                       AutoencoderKLConfig::from(config), placement);
}

/// Everything a step replaces, made before anything is replaced.
struct Advance {
  std::unique_ptr<Scheduler> scheduler;
  NoiseSource noise;
  Scheduler::Step step;
};

Advance advance(const StableDiffusionGeneration& generation, const at::Tensor& model_output) {
  Advance next{.scheduler = generation.scheduler->clone(), .noise = generation.noise, .step = {}};
  next.step = next.scheduler->step(model_output, generation.step_index, generation.latents, next.noise);
  return next;
}

void commit(StableDiffusionGeneration& generation, Advance next) {
  generation.scheduler = std::move(next.scheduler);
  generation.noise = std::move(next.noise);
  generation.latents = std::move(next.step.prev_sample);
  generation.pred_original_sample = std::move(next.step.pred_original_sample);
  ++generation.step_index;
}

}  // namespace

StableDiffusionPipeline::StableDiffusionPipeline(const CheckpointFolder& folder, ModelDescription description,
                                                 const PipelineOptions& options)
    : description_(std::move(description)),
      placement_(options.placement),
      max_generations_per_step_(options.max_generations_per_step > 0 ? options.max_generations_per_step
                                : placement_.device.is_cpu()         ? 1
                                                                     : kGpuGenerationsPerStep),
      scheduler_config_(folder),
      prompt_encoder_(load_prompt_encoder(folder, placement_)),
      unet_(load_unet(folder, placement_)),
      vae_(load_vae(folder, placement_)) {
  if (unet_.config().in_channels != vae_.config().latent_channels) {
    throw Error(ErrorCode::kUnsupported,
                concat(folder.file("unet/config.json"), ": `in_channels` is ", unet_.config().in_channels,
                       "; text to image needs the autoencoder's latent_channels, ", vae_.config().latent_channels));
  }
}

std::unique_ptr<BeginTicket> StableDiffusionPipeline::begin(const GenerationRequest& request,
                                                            const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&] {
    const RunContext context{.stop = &stop};
    const double guidance_scale = request.guidance_scale.value_or(description_.default_guidance_scale);
    // A distilled UNet takes the scale as an input and needs no second row.
    const bool guided = guidance_scale > 1.0 && !unet_.config().time_cond_proj_dim;
    auto prompt_embeds = prompt_encoder_.encode(request.prompt, request.clip_skip.value_or(0), context);
    if (guided) {
      // The reference skips no layers for the negative prompt.
      prompt_embeds =
          at::cat(at::TensorList({prompt_encoder_.encode(request.negative_prompt, /*clip_skip=*/0, context), prompt_embeds}));
    }
    std::vector<std::unique_ptr<Generation>> generations;
    for (std::int64_t i = 0; i < request.num_images; ++i) {
      generations.push_back(begin_one(request, request.seed + static_cast<std::uint64_t>(i), prompt_embeds));
    }
    return std::make_unique<SdBeginTicket>(std::move(generations), placement_.device);
  });
}

std::unique_ptr<Generation> StableDiffusionPipeline::begin_one(const GenerationRequest& request, std::uint64_t seed,
                                                               const at::Tensor& prompt_embeds) {
  const auto canvas = plan_canvas(description_, request.width.value_or(description_.native_width),
                                  request.height.value_or(description_.native_height));
  auto generation = std::make_unique<StableDiffusionGeneration>(seed, canvas);
  generation->prompt_embeds = prompt_embeds;
  generation->guidance_scale = request.guidance_scale.value_or(description_.default_guidance_scale);
  generation->scheduler =
      scheduler_config_.make(request.scheduler.value_or(description_.default_scheduler), {.eta = request.eta});
  generation->scheduler->set_timesteps(request.num_inference_steps.value_or(description_.default_steps));
  const auto& timesteps = generation->scheduler->timesteps();
  generation->timesteps = at::tensor(timesteps, at::kFloat).to(placement_.device, /*non_blocking=*/true);
  if (const auto dim = unet_.config().time_cond_proj_dim) {
    generation->timestep_cond = guidance_scale_embedding(generation->guidance_scale, *dim)
                                    .to(placement_.device, placement_.dtype, /*non_blocking=*/true);
  }
  const auto noise = generation->noise.normal({1, unet_.config().in_channels, canvas.drawn_height / description_.cell,
                                               canvas.drawn_width / description_.cell});
  generation->latents = noise.to(placement_.device, placement_.dtype, /*non_blocking=*/true) *
                        generation->scheduler->init_noise_sigma();
  return generation;
}

std::string StableDiffusionPipeline::batch_key(const Generation& generation) const {
  const auto& own_generation = static_cast<const StableDiffusionGeneration&>(generation);
  const auto& latents = own_generation.latents;
  return concat(latents.size(2), 'x', latents.size(3), ' ', own_generation.prompt_embeds.size(1));
}

at::Tensor StableDiffusionPipeline::predict(std::span<StableDiffusionGeneration* const> generations,
                                            const RunContext& context) const {
  std::vector<at::Tensor> samples, timesteps, embeds, conditions;
  for (const auto* g : generations) {
    const auto sample = g->scheduler->scale_model_input(g->latents, g->step_index);
    const auto timestep = g->timesteps.narrow(0, as_signed(g->step_index), 1);
    for (int row = 0; row < g->rows(); ++row) {
      samples.push_back(sample);
      timesteps.push_back(timestep);
      if (g->timestep_cond.defined()) conditions.push_back(g->timestep_cond);
    }
    embeds.push_back(g->prompt_embeds);
  }
  UNetInput input;
  input.sample = samples.size() == 1 ? samples[0] : at::cat(samples);                   // [B, C, h, w]
  input.timesteps = timesteps.size() == 1 ? timesteps[0] : at::cat(timesteps);          // [B]
  input.encoder_hidden_states = embeds.size() == 1 ? embeds[0] : at::cat(embeds);       // [B, T, D]
  if (!conditions.empty()) input.timestep_cond = at::cat(conditions);                   // [B, time_cond_proj_dim]
  return unet_(input, context);
}

std::unique_ptr<StepTicket> StableDiffusionPipeline::step(std::span<Generation* const> generations,
                                                          const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::unique_ptr<StepTicket> {
    const auto rows = own(generations);
    for (const auto* g : rows) {
      if (g->finished_stepping()) throw Error(ErrorCode::kInvalidArgument, "a generation has no step left");
      if (batch_key(*g) != batch_key(*rows[0])) throw Error(ErrorCode::kInvalidArgument, "batch keys differ");
    }
    const auto model_output = predict(rows, RunContext{.stop = &stop});

    std::vector<Advance> advances;
    std::vector<at::Tensor> finite;
    std::int64_t offset = 0;
    for (const auto* g : rows) {
      const auto part = model_output.narrow(0, offset, g->rows());
      offset += g->rows();
      advances.push_back(advance(*g, g->rows() == 2 ? apply_guidance(part, g->guidance_scale) : part));
      finite.push_back(at::isfinite(advances.back().step.prev_sample).all());
    }
    auto flags = at::stack(finite).to(at::kCPU, /*non_blocking=*/true);

    for (std::size_t i = 0; i < rows.size(); ++i) commit(*rows[i], std::move(advances[i]));
    return std::make_unique<SdStepTicket>(std::move(flags), placement_.device);
  });
}

std::unique_ptr<FinishTicket> StableDiffusionPipeline::finish(std::span<Generation* const> generations,
                                                              const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&] {
    const RunContext context{.stop = &stop};
    std::vector<SdFinishTicket::Picture> pictures;
    // One at a time: a decode's activations are the largest tensors of all, and there is nothing to share.
    for (auto* g : own(generations)) {
      const auto decoded = vae_.decode(g->latents / vae_.config().scaling_factor, context);  // [1, 3, H, W]
      pictures.push_back({.pixels = to_pixels(decoded), .canvas = g->canvas, .seed = g->seed()});
    }
    return std::make_unique<SdFinishTicket>(std::move(pictures), placement_.device);
  });
}

at::Tensor StableDiffusionPipeline::preview_map() {
  if (!preview_map_.defined()) {
    // Least squares over one decoded patch of noise: colour is close to linear in the latents.
    const std::int64_t channels = vae_.config().latent_channels, edge = 16, cell = description_.cell;
    const auto latents = NoiseSource(0).normal({1, channels, edge, edge});
    const auto decoded = vae_.decode((latents / vae_.config().scaling_factor).to(placement_.device, placement_.dtype), {});
    const auto pixels = at::avg_pool2d(decoded.to(at::kCPU, at::kFloat), {cell, cell});
    const auto rows = latents.flatten(2).squeeze(0).t();  // [h * w, C]
    const auto design = at::cat(at::TensorList({rows, at::ones({rows.size(0), 1})}), 1);
    const auto target = pixels.flatten(2).squeeze(0).t();  // [h * w, 3]
    preview_map_ = std::get<0>(at::linalg_lstsq(design, target, std::nullopt, std::nullopt));
  }
  return preview_map_;
}

std::optional<Image> StableDiffusionPipeline::preview(const Generation& generation) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::optional<Image> {
    const auto& x0 = static_cast<const StableDiffusionGeneration&>(generation).pred_original_sample;
    if (!x0.defined()) return std::nullopt;
    const auto map = preview_map();
    const auto channels = x0.to(at::kCPU, at::kFloat).squeeze(0).permute({1, 2, 0});  // [h, w, C]
    const auto rgb = channels.matmul(map.narrow(0, 0, channels.size(2))) + map[channels.size(2)];
    return to_image(to_pixels(rgb.permute({2, 0, 1}).unsqueeze(0)));
  });
}

}  // namespace easel
