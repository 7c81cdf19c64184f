#include "pipelines/diffusion_pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/text.h"
#include "pipelines/diffusion_tickets.h"
#include "pipelines/guidance.h"
#include "pipelines/postprocess.h"
#include "pipelines/torch_errors.h"

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

Advance advance(const DiffusionGeneration& generation, const at::Tensor& rows) {
  const auto model_output =
      rows.size(0) == 2 ? apply_guidance(rows, generation.guidance_scale, generation.guidance_rescale) : rows;
  const auto step_index = generation.step_index;
  Advance next{.scheduler = generation.phase().scheduler->clone(), .noise = generation.noise, .step = {}};
  next.step = next.scheduler->step(model_output, step_index, generation.latents, next.noise);
  if (const auto& kept = generation.kept) {
    const bool last = step_index + 1 == generation.phase().end_step;
    const auto around = last ? kept->latents : next.scheduler->add_noise(kept->latents, kept->noise, step_index + 1);
    next.step.prev_sample = (1 - kept->mask) * around + kept->mask * next.step.prev_sample;
  }
  return next;
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

DiffusionPipeline::DiffusionPipeline(const CheckpointFolder& folder, ModelDescription description,
                                     const PipelineOptions& options, std::vector<Denoiser> denoisers,
                                     PictureCodec codec, const ModeDefaults& defaults)
    : description_(std::move(description)),
      placement_(options.placement),
      max_generations_per_step_(options.max_generations_per_step > 0 ? options.max_generations_per_step
                                : placement_.device.is_cpu()         ? 1
                                                                     : kGpuGenerationsPerStep),
      denoisers_(std::move(denoisers)),
      codec_(std::move(codec)),
      defaults_(defaults) {
  const auto latents = codec_.config().latent_channels, channels = denoisers_[0].unet.config().in_channels;
  inpainting_ = channels == latents ? InpaintingKind::kPutBack : InpaintingKind::kModel;
  if (inpainting_ == InpaintingKind::kModel && (channels != 2 * latents + 1 || denoisers_.size() > 1)) {
    throw Error(ErrorCode::kUnsupported, concat(folder.source->config("unet").where(), ": `in_channels` is ", channels,
                                                "; easel supports the autoencoder's latent_channels, ", latents,
                                                ", and for inpainting ", 2 * latents + 1));
  }
  if (denoisers_.back().unet.config().in_channels != channels) {
    throw Error(ErrorCode::kUnsupported, folder.path + ": the refiner's UNet has other channels than the base's");
  }
}

void DiffusionPipeline::check(const GenerationRequest& request) const {
  const auto refuse = [](const char* param, const std::string& why) {
    throw Error(ErrorCode::kInvalidArgument, concat("`", param, "` ", why), param);
  };
  if (!(request.guidance_rescale >= 0 && request.guidance_rescale <= 1)) {
    refuse("guidance_rescale", concat("is ", request.guidance_rescale, ", expected 0 to 1"));
  }
  if (inpainting_ == InpaintingKind::kModel && !request.mask) refuse("mask", "is missing: this model redraws parts");
  if (description_.needs_image && !request.image) refuse("image", "is missing: this model draws from a picture");
  if (!request.denoising_end) return;
  if (denoisers_.size() == 1) refuse("denoising_end", "needs a model with a refiner");
  if (!(*request.denoising_end > 0 && *request.denoising_end <= 1)) refuse("denoising_end", "is not above 0, up to 1");
}

Canvas DiffusionPipeline::canvas_of(const GenerationRequest& request) const {
  const auto& image = request.image;
  return plan_canvas(description_, request.width.value_or(image ? image->width : description_.native_width),
                     request.height.value_or(image ? image->height : description_.native_height));
}

double DiffusionPipeline::strength_of(const GenerationRequest& request) const {
  return request.strength.value_or(request.mask ? defaults_.inpainting_strength : description_.default_strength);
}

std::unique_ptr<BeginTicket> DiffusionPipeline::begin(const GenerationRequest& request, const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&] {
    check(request);
    const RunContext context{.stop = &stop};
    const auto canvas = canvas_of(request);
    const double guidance_scale = request.guidance_scale.value_or(description_.default_guidance_scale);
    std::vector<Conditions> conditions;
    for (auto& denoiser : denoisers_) {
      // A distilled UNet takes the scale as an input and needs no second row.
      const bool guided = guidance_scale > 1.0 && !denoiser.unet.config().time_cond_proj_dim;
      conditions.push_back(
          denoiser.conditioner->encode(request, canvas, guided ? Guidance::kOn : Guidance::kOff, context));
    }
    const auto source = read_source(request, canvas, codec_, inpainting_, context);
    const LatentShape shape{.channels = codec_.config().latent_channels,
                            .height = canvas.drawn_height / description_.cell,
                            .width = canvas.drawn_width / description_.cell};
    std::vector<std::unique_ptr<Generation>> generations;
    for (std::int64_t i = 0; i < request.num_images; ++i) {
      auto generation = std::make_unique<DiffusionGeneration>(request.seed + static_cast<std::uint64_t>(i), canvas);
      generation->guidance_scale = guidance_scale;
      generation->guidance_rescale = request.guidance_rescale;
      generation->phases = begin_phases(request, conditions);
      generation->start();
      begin_latents(*generation, shape, source ? &*source : nullptr, strength_of(request), inpainting_, codec_,
                    placement_);
      generations.push_back(std::move(generation));
    }
    return std::make_unique<DiffusionBeginTicket>(std::move(generations), placement_.device);
  });
}

std::vector<Phase> DiffusionPipeline::begin_phases(const GenerationRequest& request,
                                                   const std::vector<Conditions>& conditions) const {
  const auto steps = request.num_inference_steps.value_or(description_.default_steps);
  const auto skipped = request.image ? skipped_steps(steps, strength_of(request)) : 0;
  std::vector<Phase> phases;
  for (std::size_t d = 0; d < denoisers_.size(); ++d) {
    phases.push_back(begin_phase(d, request, conditions[d]));
    phases.back().first_step = static_cast<std::size_t>(skipped * phases.back().scheduler->order());
  }
  if (phases.size() == 2) {
    hand_over(phases[0], phases[1], request.denoising_end.value_or(defaults_.denoising_end),
              denoisers_[0].scheduler_config.num_train_timesteps());
  }
  for (auto& phase : phases) {
    if (phase.steps() > 0) phase.scheduler->start_at(phase.first_step);
  }
  return phases;
}

Phase DiffusionPipeline::begin_phase(std::size_t denoiser, const GenerationRequest& request,
                                     Conditions conditions) const {
  const auto& [unet, conditioner, scheduler_config] = denoisers_[denoiser];
  Phase phase;
  phase.denoiser = denoiser;
  phase.conditions = std::move(conditions);
  const auto name = denoiser == 0 ? description_.default_scheduler : scheduler_config.own_name();
  phase.scheduler = scheduler_config.make(request.scheduler.value_or(name), {.eta = request.eta});
  phase.scheduler->set_timesteps(request.num_inference_steps.value_or(description_.default_steps));
  const auto& timesteps = phase.scheduler->timesteps();
  phase.end_step = timesteps.size();
  phase.timesteps = at::tensor(timesteps, at::kFloat).to(placement_.device, /*non_blocking=*/true);
  if (const auto dim = unet.config().time_cond_proj_dim) {
    const double guidance_scale = request.guidance_scale.value_or(description_.default_guidance_scale);
    phase.timestep_cond =
        guidance_scale_embedding(guidance_scale, *dim).to(placement_.device, placement_.dtype, /*non_blocking=*/true);
  }
  return phase;
}

std::string DiffusionPipeline::batch_key(const Generation& generation) const {
  const auto& row = static_cast<const DiffusionGeneration&>(generation);
  if (row.finished_stepping()) return "finished";
  const auto& phase = row.phase();
  return concat(phase.denoiser, ' ', row.latents.size(2), 'x', row.latents.size(3), ' ',
                phase.conditions.prompt_embeds.size(1));
}

at::Tensor DiffusionPipeline::predict(std::span<DiffusionGeneration* const> generations,
                                      const RunContext& context) const {
  std::vector<at::Tensor> samples, timesteps, prompts, texts, times, timestep_conds;
  for (const auto* g : generations) {
    const auto& phase = g->phase();
    auto sample = phase.scheduler->scale_model_input(g->latents, g->step_index);
    if (g->extra_channels.defined()) sample = at::cat(at::TensorList({sample, g->extra_channels}), 1);
    const auto timestep = phase.timesteps.narrow(0, static_cast<std::int64_t>(g->step_index), 1);
    for (int row = 0; row < g->rows(); ++row) {
      samples.push_back(sample);
      timesteps.push_back(timestep);
      if (phase.timestep_cond.defined()) timestep_conds.push_back(phase.timestep_cond);
    }
    prompts.push_back(phase.conditions.prompt_embeds);
    if (phase.conditions.text_embeds.defined()) texts.push_back(phase.conditions.text_embeds);
    if (phase.conditions.time_ids.defined()) times.push_back(phase.conditions.time_ids);
  }
  UNetInput input;
  input.sample = rows_of(samples);                 // [B, C, h, w]
  input.timesteps = rows_of(timesteps);            // [B]
  input.encoder_hidden_states = rows_of(prompts);  // [B, T, D]
  input.added_text_embeds = rows_of(texts);        // [B, P]
  input.added_time_ids = rows_of(times);           // [B, n]
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
    const auto model_output = predict(rows, RunContext{.stop = &stop});

    std::vector<Advance> advances;
    std::vector<at::Tensor> finite;
    std::int64_t offset = 0;
    for (const auto* g : rows) {
      advances.push_back(advance(*g, model_output.narrow(0, offset, g->rows())));
      offset += g->rows();
      finite.push_back(at::isfinite(advances.back().step.prev_sample).all());
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
    std::vector<DiffusionFinishTicket::Picture> pictures;
    // One at a time: a decode's activations are the largest tensors of all, and there is nothing to share.
    for (auto* g : own(generations)) {
      const auto decoded = codec_.decode(g->latents, context);
      pictures.push_back({.pixels = to_pixels(decoded), .canvas = g->canvas, .seed = g->seed()});
      if (!codec_.may_overflow()) continue;
      pictures.back().finite = at::isfinite(decoded).all().to(at::kCPU, /*non_blocking=*/true);
      pictures.back().redo = [this, latents = g->latents] {
        const c10::InferenceMode inference_again;
        return to_pixels(codec_.decode_widened(latents));
      };
    }
    return std::make_unique<DiffusionFinishTicket>(std::move(pictures), placement_.device);
  });
}

std::optional<Image> DiffusionPipeline::preview(const Generation& generation) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::optional<Image> {
    const auto& x0 = static_cast<const DiffusionGeneration&>(generation).pred_original_sample;
    if (!x0.defined()) return std::nullopt;
    return codec_.preview(x0);
  });
}

}  // namespace easel
