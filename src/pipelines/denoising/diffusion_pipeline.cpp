#include "pipelines/denoising/diffusion_pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "adapters/prompt_adapters.h"
#include "core/text.h"
#include "pipelines/denoising/guidance.h"
#include "pipelines/denoising/preconditioning.h"
#include "pipelines/denoising/request_timesteps.h"
#include "pipelines/images/postprocess.h"
#include "tensor/torch_errors.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr int kGpuGenerationsPerStep = 8;

std::vector<DiffusionGeneration*> own(std::span<Generation* const> generations) {
  std::vector<DiffusionGeneration*> rows;
  for (Generation* generation : generations) rows.push_back(static_cast<DiffusionGeneration*>(generation));
  if (rows.empty()) throw Error(ErrorCode::kInvalidArgument, "no generation given");
  return rows;
}

/// Rows of several generations below each other; undefined when there are none.
at::Tensor rows_of(const std::vector<at::Tensor>& parts) {
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

/// The one prediction that a generation's rows make together.
at::Tensor guided(const DiffusionGeneration& generation, const at::Tensor& rows) {
  switch (rows.size(0)) {
    case 1:
      return rows;
    case 2:
      return apply_guidance(rows, generation.guidance_scale, generation.guidance_rescale);
    default:
      return apply_image_guidance(rows, generation.guidance_scale, generation.image_guidance_scale);
  }
}

StepResult advance(const DiffusionGeneration& generation, const at::Tensor& rows) {
  const auto step_index = generation.step_index;
  const auto& sigmas = generation.phase().sigmas;
  const auto sigma = sigmas.defined() ? sigmas.select(0, static_cast<std::int64_t>(step_index)) : sigmas;
  const auto model_output = guided(generation, sigma.defined() ? precondition(rows, generation.latents, sigma) : rows);
  StepResult next{.scheduler = generation.phase().scheduler->clone(), .noise = generation.noise, .step = {}};
  next.step = next.scheduler->step(model_output, step_index, generation.latents, next.noise);
  if (const auto& kept = generation.kept) {
    const bool last = step_index + 1 == generation.phase().end_step;
    const auto around = last ? kept->latents : next.scheduler->add_noise(kept->latents, kept->noise, step_index + 1);
    next.step.prev_sample = (1 - kept->mask) * around + kept->mask * next.step.prev_sample;
    // The reference's refiner is a pipeline of its own, which draws its own noise.
    if (last && generation.phase_index + 1 < generation.phases.size()) {
      next.kept_noise = next.noise.normal_like(kept->noise);
    }
  }
  return next;
}

/// What adapters are for: with two UNets the first, as in the reference, whose refiner is a pipeline of its own.
std::vector<std::shared_ptr<LayerTable>> adaptable(const Denoiser& denoiser) {
  auto models = denoiser.text_layers;
  models.push_back(denoiser.unet.layer_table());
  return models;
}

/// Cuts two phases where the second takes over: the first keeps the timesteps from the cutoff up, the second has those
/// below it.
void hand_over(Phase& base, Phase& refiner, double denoising_end, std::int64_t num_train_timesteps) {
  if (denoising_end >= 1) {
    refiner.first_step = refiner.end_step;
    return;
  }
  const auto train = static_cast<double>(num_train_timesteps);
  const auto cutoff = static_cast<float>(std::nearbyint(train - denoising_end * train));  // half to even, as Python
  const auto& timesteps = base.scheduler->timesteps();
  const auto first = timesteps.begin() + static_cast<std::ptrdiff_t>(std::min(base.first_step, timesteps.size()));
  const auto above = std::count_if(first, timesteps.end(), [&](float t) { return t >= cutoff; });
  base.end_step = base.first_step + static_cast<std::size_t>(above);

  const auto& own = refiner.scheduler->timesteps();
  auto below = std::count_if(own.begin(), own.end(), [&](float t) { return t < cutoff; });
  // Never between the two evaluations of a second-order step.
  if (refiner.scheduler->order() == 2 && below % 2 == 0) ++below;
  const auto begin = own.size() - std::min(own.size(), static_cast<std::size_t>(below));
  refiner.first_step = std::max(refiner.first_step, begin);
}

}  // namespace

int PipelineOptions::generations_per_step() const {
  if (max_generations_per_step > 0) return max_generations_per_step;
  return placement.device.is_cpu() ? 1 : kGpuGenerationsPerStep;
}

DiffusionPipeline::DiffusionPipeline(const Checkpoint& folder, ModelDescription description,
                                     const PipelineOptions& options, std::vector<Denoiser> denoisers, ImageCodec codec,
                                     const ModeDefaults& defaults, std::unique_ptr<const StartStrategy> start_strategy)
    : description_(std::move(description)),
      placement_(options.placement),
      prompt_syntax_(options.prompt_syntax),
      max_generations_per_step_(options.generations_per_step()),
      denoisers_(std::move(denoisers)),
      codec_(std::move(codec)),
      adapters_(options.adapters, adaptable(denoisers_[0]), options.placement),
      defaults_(defaults),
      start_strategy_(std::move(start_strategy)) {
  codec_.set_tiling(options.vae_tiling);
  check_channels(folder);
}

void DiffusionPipeline::check_channels(const Checkpoint& folder) {
  const auto latents = codec_.config().latent_channels, channels = denoisers_[0].unet.config().in_channels;
  const auto reject = [&](const std::string& supported) {
    throw Error(ErrorCode::kUnsupported, concat(folder.source->config(Component::kUnet).where(), ": `in_channels` is ",
                                                channels, "; easel supports ", supported));
  };
  if (start_strategy_) {
    const auto expected = latents + start_strategy_->extra_channels(codec_.config());
    if (channels != expected) reject(concat(expected, " in this family"));
    return;
  }
  inpainting_ = channels == latents ? InpaintingMode::kBlend : InpaintingMode::kModel;
  if (inpainting_ == InpaintingMode::kModel && (channels != 2 * latents + 1 || denoisers_.size() > 1)) {
    reject(concat("the autoencoder's latent_channels, ", latents, ", and for inpainting ", 2 * latents + 1));
  }
  if (denoisers_.back().unet.config().in_channels != channels) {
    throw Error(ErrorCode::kUnsupported, folder.path + ": the refiner's UNet has other channels than the base's");
  }
}

void DiffusionPipeline::check(const GenerationRequest& request) const {
  const auto& reject = reject_field;
  if (request.guidance_scale && !std::isfinite(*request.guidance_scale)) {
    reject("guidance_scale", concat("is ", *request.guidance_scale, ", expected a finite number"));
  }
  if (!(request.guidance_rescale >= 0 && request.guidance_rescale <= 1)) {
    reject("guidance_rescale", concat("is ", request.guidance_rescale, ", expected 0 to 1"));
  }
  if (inpainting_ == InpaintingMode::kModel && !request.mask) reject("mask", "is missing: this model redraws parts");
  if (description_.needs_image && !request.image) reject("image", "is missing: this model draws from an image");
  if (start_strategy_) {
    start_strategy_->check(request);
  } else {
    if (request.strength && !request.image) reject("strength", "needs `image`");
    if (request.image_guidance_scale) reject("image_guidance_scale", "has no use in this model");
    if (request.noise_level) reject("noise_level", "has no use in this model");
  }
  if (!request.denoising_end) return;
  if (denoisers_.size() == 1) reject("denoising_end", "needs a model with a refiner");
  if (!(*request.denoising_end > 0 && *request.denoising_end <= 1)) reject("denoising_end", "is not above 0, up to 1");
}

Canvas DiffusionPipeline::canvas_of(const GenerationRequest& request) const {
  if (start_strategy_) return start_strategy_->canvas(request, description_);
  const auto& image = request.image;
  return plan_canvas(description_, request.width.value_or(image ? image->width : description_.native_width),
                     request.height.value_or(image ? image->height : description_.native_height));
}

double DiffusionPipeline::strength_of(const GenerationRequest& request) const {
  return request.strength.value_or(request.mask ? defaults_.inpainting_strength : description_.default_strength);
}

SchedulerOptions DiffusionPipeline::scheduler_options(const GenerationRequest& request) const {
  const bool strength = defaults_.scheduler_takes_strength && request.image && !request.mask;
  return {.eta = request.eta, .strength = strength ? strength_of(request) : 1.0};
}

std::unique_ptr<BeginTicket> DiffusionPipeline::begin(const GenerationRequest& asked, const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&] {
    auto request = with_prompt_adapters(asked);
    request.prompt_syntax = request.prompt_syntax.value_or(prompt_syntax_);
    check(request);
    const auto adapters = adapters_.resolve(request.loras);
    const RunContext context{.stop = &stop, .adapters = adapters.get()};
    const auto canvas = canvas_of(request);
    const double guidance_scale = request.guidance_scale.value_or(description_.default_guidance_scale);
    std::vector<UNetConditioning> conditioning;
    bool guided = false;
    for (auto& denoiser : denoisers_) {
      // A distilled UNet takes the scale as an input and needs no second row.
      guided = start_strategy_ ? start_strategy_->guided(request, guidance_scale)
                               : guidance_scale > 1.0 && !denoiser.unet.config().time_cond_proj_dim;
      conditioning.push_back(
          denoiser.conditioner->encode(request, canvas, guided ? Guidance::kOn : Guidance::kOff, context));
    }
    const auto prepare_latents = read_image(request, canvas, guided, context);
    std::vector<std::unique_ptr<Generation>> generations;
    for (std::int64_t i = 0; i < request.num_images; ++i) {
      auto generation = std::make_unique<DiffusionGeneration>(request.seed + static_cast<std::uint64_t>(i), canvas);
      generation->guidance_scale = guidance_scale;
      generation->guidance_rescale = request.guidance_rescale;
      generation->adapters = adapters;
      generation->phases = begin_phases(request, conditioning);
      generation->start();
      prepare_latents(*generation);
      generations.push_back(std::move(generation));
    }
    return std::make_unique<DiffusionBeginTicket>(std::move(generations), placement_.device);
  });
}

PrepareLatents DiffusionPipeline::read_image(const GenerationRequest& request, const Canvas& canvas, bool guided,
                                             const RunContext& context) const {
  if (start_strategy_) return start_strategy_->read(request, canvas, guided, codec_, placement_, context);
  const LatentShape shape{.channels = codec_.config().latent_channels,
                          .height = canvas.generated_height / description_.cell,
                          .width = canvas.generated_width / description_.cell};
  return [=, this, source = encode_source(request, canvas, codec_, inpainting_, context),
          strength = strength_of(request)](DiffusionGeneration& generation) {
    prepare_latents(generation, shape, source ? &*source : nullptr, strength, inpainting_, codec_, placement_);
  };
}

std::vector<Phase> DiffusionPipeline::begin_phases(const GenerationRequest& request,
                                                   const std::vector<UNetConditioning>& conditioning) const {
  std::vector<Phase> phases;
  for (std::size_t d = 0; d < denoisers_.size(); ++d) {
    phases.push_back(begin_phase(d, request, conditioning[d]));
    if (!request.image || start_strategy_ || phases.back().scheduler->applies_strength()) continue;
    phases.back().first_step =
        first_step_for_strength(*phases.back().scheduler, request, description_.default_steps, strength_of(request));
  }
  if (phases.size() == 2) {
    hand_over(phases[0], phases[1], request.denoising_end.value_or(defaults_.denoising_end),
              denoisers_[0].scheduler_config.num_train_timesteps());
  }
  for (auto& phase : phases) {
    if (phase.steps() > 0) phase.scheduler->set_begin_index(phase.first_step);
  }
  return phases;
}

Phase DiffusionPipeline::begin_phase(std::size_t denoiser, const GenerationRequest& request,
                                     UNetConditioning conditioning) const {
  const auto& [unet, conditioner, scheduler_config, text_layers, noise_conditioning] = denoisers_[denoiser];
  Phase phase;
  phase.denoiser = denoiser;
  phase.conditioning = std::move(conditioning);
  const auto name = denoiser == 0 ? description_.default_scheduler : scheduler_config.checkpoint_scheduler_name();
  phase.scheduler = scheduler_config.make(request.scheduler.value_or(name), scheduler_options(request));
  set_request_timesteps(*phase.scheduler, request, description_.default_steps);
  phase.end_step = phase.scheduler->timesteps().size();
  if (noise_conditioning == NoiseConditioning::kLogSigma) phase.sigmas = run_sigmas(*phase.scheduler);
  const auto& numbers = phase.sigmas.defined() ? log_sigma_conditioning(phase.sigmas) : phase.scheduler->timesteps();
  phase.timesteps = upload(at::tensor(numbers, at::kFloat), placement_.device, at::kFloat);
  const auto dim = unet.config().time_cond_proj_dim;
  if (dim && !phase.conditioning.timestep_cond.defined()) {
    const double guidance_scale = request.guidance_scale.value_or(description_.default_guidance_scale);
    phase.conditioning.timestep_cond =
        upload(guidance_scale_embedding(guidance_scale, *dim), placement_.device, placement_.dtype);
  }
  return phase;
}

std::string DiffusionPipeline::batch_key(const Generation& generation) const {
  const auto& row = static_cast<const DiffusionGeneration&>(generation);
  if (row.finished_stepping()) return "finished";
  const auto& phase = row.phase();
  return concat(phase.denoiser, ' ', row.latents.size(2), 'x', row.latents.size(3), ' ',
                phase.conditioning.prompt_embeds.size(1), ' ', row.adapters ? row.adapters->key() : "");
}

at::Tensor DiffusionPipeline::predict(std::span<DiffusionGeneration* const> generations,
                                      const RunContext& context) const {
  std::vector<at::Tensor> samples, timesteps, prompts, texts, times, labels, timestep_conds;
  for (const auto* g : generations) {
    const auto& phase = g->phase();
    auto sample = phase.scheduler->scale_model_input(g->latents, g->step_index);
    const auto& extra = g->extra_channels;
    const bool extra_of_each = extra.defined() && extra.size(0) > 1;
    if (extra.defined() && !extra_of_each) sample = at::cat(at::TensorList({sample, extra}), 1);
    const auto timestep = phase.timesteps.narrow(0, static_cast<std::int64_t>(g->step_index), 1);
    for (int row = 0; row < g->rows(); ++row) {
      samples.push_back(extra_of_each ? at::cat(at::TensorList({sample, extra.narrow(0, row, 1)}), 1) : sample);
      timesteps.push_back(timestep);
    }
    const auto& conditioning = phase.conditioning;
    prompts.push_back(conditioning.prompt_embeds);
    if (conditioning.text_embeds.defined()) texts.push_back(conditioning.text_embeds);
    if (conditioning.time_ids.defined()) times.push_back(conditioning.time_ids);
    if (conditioning.class_labels.defined()) labels.push_back(conditioning.class_labels);
    if (conditioning.timestep_cond.defined()) timestep_conds.push_back(conditioning.timestep_cond);
  }
  UNetInput input;
  input.sample = rows_of(samples);                 // [B, C, h, w]
  input.timesteps = rows_of(timesteps);            // [B]
  input.encoder_hidden_states = rows_of(prompts);  // [B, T, D]
  input.added_text_embeds = rows_of(texts);        // [B, P]
  input.added_time_ids = rows_of(times);           // [B, n]
  input.class_labels = rows_of(labels);            // [B]
  input.timestep_cond = rows_of(timestep_conds);   // [B, time_cond_proj_dim]
  return denoisers_[generations[0]->phase().denoiser].unet(input, context);
}

std::unique_ptr<StepTicket> DiffusionPipeline::step(std::span<Generation* const> generations,
                                                    const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::unique_ptr<StepTicket> {
    const auto rows = own(generations);
    for (const auto* g : rows) {
      if (g->finished_stepping()) throw Error(ErrorCode::kInvalidArgument, "a generation has no step left");
      if (batch_key(*g) != batch_key(*rows[0])) throw Error(ErrorCode::kInvalidArgument, "batch keys differ");
    }
    // Equal keys: what the first row has chosen, all have.
    const auto model_output = predict(rows, RunContext{.stop = &stop, .adapters = rows[0]->adapters.get()});

    std::vector<StepResult> advances;
    std::vector<at::Tensor> finite;
    std::int64_t offset = 0;
    for (const auto* g : rows) {
      advances.push_back(advance(*g, model_output.narrow(0, offset, g->rows())));
      offset += g->rows();
      const auto& sample = advances.back().step.prev_sample;
      finite.push_back(at::isfinite(sample).all());
      // One by one, so that other images' steps come between the decodes of a large one.
      if (g->ends_tile()) advances.back().decoded = decode(sample, RunContext{.stop = &stop});
    }
    auto flags = at::stack(finite).to(at::kCPU, /*non_blocking=*/true);

    for (std::size_t i = 0; i < rows.size(); ++i) rows[i]->commit(std::move(advances[i]));
    return std::make_unique<DiffusionStepTicket>(std::move(flags), placement_.device);
  });
}

std::unique_ptr<FinishTicket> DiffusionPipeline::finish(std::span<Generation* const> generations,
                                                        const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&] {
    const RunContext context{.stop = &stop};
    std::vector<DiffusionFinishTicket::PendingImage> images;
    // One at a time: a decode's activations are the largest tensors of all, and there is nothing to share.
    for (const auto* g : own(generations)) {
      images.push_back(
          {.parts = {}, .grid = g->grid, .canvas = g->canvas, .seed = g->seed(), .prompt_cut = g->prompt_cut()});
      auto& parts = images.back().parts;
      if (g->tiles.empty()) parts.push_back(decode(g->latents, context));
      for (const auto& tile : g->tiles) {
        parts.push_back(tile.decoded.pixels.defined() ? tile.decoded : decode(tile.latents, context));
      }
    }
    return std::make_unique<DiffusionFinishTicket>(std::move(images), placement_.device);
  });
}

DiffusionFinishTicket::DecodedTile DiffusionPipeline::decode(const at::Tensor& latents,
                                                             const RunContext& context) const {
  const auto decoded = codec_.decode(latents, context);
  DiffusionFinishTicket::DecodedTile part{.pixels = to_pixels(decoded)};
  part.finite = at::isfinite(decoded).all().to(at::kCPU, /*non_blocking=*/true);
  if (!codec_.may_overflow()) return part;
  part.decode_in_float32 = [this, latents] {
    const c10::InferenceMode inference;
    const auto wide = codec_.decode_in_float32(latents);
    if (!at::isfinite(wide).all().item<bool>()) {
      throw Error(ErrorCode::kCorruptData, "the autoencoder gave infinities or NaN in float32 too");
    }
    return to_pixels(wide);
  };
  return part;
}

std::optional<Image> DiffusionPipeline::preview(const Generation& generation) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::optional<Image> {
    const auto& row = static_cast<const DiffusionGeneration&>(generation);
    // Of an image in tiles there is one tile at a time, which nobody would know for the image.
    if (!row.pred_original_sample.defined() || !row.tiles.empty()) return std::nullopt;
    return codec_.preview(row.pred_original_sample);
  });
}

}  // namespace easel
