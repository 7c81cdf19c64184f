#include "pipelines/denoising/diffusion_pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "adapters/prompt_adapters.h"
#include "core/text.h"
#include "pipelines/denoising/guidance.h"
#include "pipelines/denoising/preconditioning.h"
#include "pipelines/images/pixels.h"
#include "tensor/torch_errors.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr int kGpuGenerationsPerStep = 8;
// Their projections take 10 MB with SDXL; more steps than this are rare.
constexpr std::int64_t kMostKeptTimesteps = 128;

/// The generations as this class made them.
std::vector<DiffusionGeneration*> own(std::span<Generation* const> generations) {
  std::vector<DiffusionGeneration*> rows;
  for (Generation* generation : generations) rows.push_back(static_cast<DiffusionGeneration*>(generation));
  if (rows.empty()) throw Error(ErrorCode::kInvalidArgument, "no generations were given");
  return rows;
}

/// Combines the predictions of a generation's rows into one.
at::Tensor guided(const DiffusionGeneration& generation, const at::Tensor& rows) {
  switch (rows.size(0)) {
    case 1:
      return rows;
    case 2:
      if (generation.guidance_rule == GuidanceRule::kFromText) {
        return apply_guidance_from_text(rows, generation.guidance_scale);
      }
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
    // In the reference the refiner is a separate pipeline, which draws noise of its own.
    if (last && generation.phase_index + 1 < generation.phases.size()) {
      next.kept_noise = next.noise.normal_like(kept->noise);
    }
  }
  return next;
}

/// Lets the model compute once what depends on timesteps only. @param images  of the generations, in their order
void keep_timesteps(std::vector<ImageRows>& images, std::span<DiffusionGeneration* const> generations) {
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto& timesteps = generations[i]->phase().timesteps;
    if (timesteps.size(0) > kMostKeptTimesteps) continue;
    images[i].timesteps = timesteps;
    images[i].step = static_cast<std::int64_t>(generations[i]->step_index);
  }
}

Guidance guidance_of(const DenoiserConditioning& conditioning) {
  return conditioning.prompt_embeds.size(0) > 1 ? Guidance::kOn : Guidance::kOff;
}

/// Looks at the noise only where the request's own numbers may be too large, because that waits for the device.
/// @param latents  of the beginning
void check_noise(const GenerationRequest& request, const at::Tensor& latents) {
  if (request.sigmas.empty() || latents.scalar_type() != at::kHalf || at::isfinite(latents).all().item<bool>()) return;
  reject_field("sigmas", concat("begin with ", request.sigmas.front(), ", and noise of that level has values that ",
                                "float16 cannot hold; give smaller ones"));
}

/// Splits the steps between two phases: the base keeps the timesteps from the cutoff up, the refiner those below it.
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
  // A second-order step is not split between its two evaluations.
  if (refiner.scheduler->order() == 2 && below % 2 == 0) ++below;
  const auto begin = own.size() - std::min(own.size(), static_cast<std::size_t>(below));
  refiner.first_step = std::max(refiner.first_step, begin);
}

/// @param phases  of one image, which divide its steps
void limit_guidance(std::vector<Phase>& phases, const GuidanceInterval& interval) {
  std::int64_t steps = 0, earlier = 0;
  for (const auto& phase : phases) steps += phase.steps();
  const auto guided = interval.of(steps);
  for (auto& phase : phases) {
    const auto own_step = [&](std::int64_t step) {
      return phase.first_step + static_cast<std::size_t>(std::clamp(step - earlier, std::int64_t{0}, phase.steps()));
    };
    phase.first_guided_step = own_step(guided.first);
    phase.end_guided_step = own_step(guided.end);
    earlier += phase.steps();
  }
}

}  // namespace

int PipelineOptions::generations_per_step() const {
  if (max_generations_per_step > 0) return max_generations_per_step;
  return placement.device.is_cpu() ? 1 : kGpuGenerationsPerStep;
}

DiffusionPipeline::DiffusionPipeline(ModelDescription description, const PipelineOptions& options, DiffusionParts parts)
    : description_(std::move(description)),
      placement_(options.placement),
      latents_placement_(options.placement),
      prompt_syntax_(options.prompt_syntax),
      max_generations_per_step_(options.generations_per_step()),
      parts_(std::move(parts)),
      recent_prompts_(static_cast<std::size_t>(max_generations_per_step_)),
      adapters_(options.adapters, parts_.adaptable_models, options.placement) {
  latents_placement_.dtype = parts_.latents_dtype.value_or(placement_.dtype);
}

void DiffusionPipeline::check(const GenerationRequest& request) const {
  const auto& reject = reject_field;
  if (request.guidance_scale && !std::isfinite(*request.guidance_scale)) {
    reject("guidance_scale", concat("is ", *request.guidance_scale, ", expected a finite number"));
  }
  if (request.true_cfg_scale && !std::isfinite(*request.true_cfg_scale)) {
    reject("true_cfg_scale", concat("is ", *request.true_cfg_scale, ", expected a finite number"));
  }
  if (!(request.guidance_rescale >= 0 && request.guidance_rescale <= 1)) {
    reject("guidance_rescale", concat("is ", request.guidance_rescale, ", expected 0 to 1"));
  }
  if (request.guidance_interval) check_guidance_interval(request);
  if (description_.needs_mask && !request.mask) reject("mask", "is missing: this model redraws the part under a mask");
  if (request.padding_mask_crop && !request.mask) reject("padding_mask_crop", "needs `mask`");
  if (description_.needs_image && !request.image) reject("image", "is missing: this model starts from an image");
  if (description_.max_input_images == 0 && request.image) {
    reject("image", "has no use in this model, which makes images of prompts only");
  }
  reject_unused_fields(request, parts_.fields);
  parts_.start->check(request);
  if (request.hires && (request.image || !parts_.start->starts_from_latents())) {
    reject("hires", "needs a model that makes images from a prompt, and a request without an image");
  }
  if (!request.denoising_end) return;
  if (parts_.denoisers.size() == 1) reject("denoising_end", "needs a model with a refiner");
  if (!(*request.denoising_end > 0 && *request.denoising_end <= 1)) {
    reject("denoising_end", concat("is ", *request.denoising_end, ", expected a number above 0 and at most 1"));
  }
}

void DiffusionPipeline::check_guidance_interval(const GenerationRequest& request) const {
  const auto& interval = *request.guidance_interval;
  if (!interval.is_valid()) {
    reject_field("guidance_interval", concat("is [", interval.start, ", ", interval.end,
                                             "], expected two numbers from 0 to 1, the first below the second"));
  }
  const bool guided = std::ranges::any_of(parts_.denoisers, [&](const Denoiser& denoiser) {
    return parts_.start->guidance(request, row_guidance_scale(request), *denoiser.model) == Guidance::kOn;
  });
  if (!guided) reject_field("guidance_interval", "has no use without guidance");
}

double DiffusionPipeline::guidance_scale(const GenerationRequest& request) const {
  return request.guidance_scale.value_or(description_.default_guidance_scale);
}

double DiffusionPipeline::row_guidance_scale(const GenerationRequest& request) const {
  if (parts_.guidance_rule != GuidanceRule::kTrueCfg) return guidance_scale(request);
  return request.negative_prompt.empty() ? 1.0 : request.true_cfg_scale.value_or(1.0);
}

std::unique_ptr<BeginTicket> DiffusionPipeline::begin(const GenerationRequest& asked, const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&] {
    auto request = with_prompt_adapters(asked);
    request.prompt_syntax = request.prompt_syntax.value_or(prompt_syntax_);
    check(request);
    const auto adapters = adapters_.resolve(request.loras);
    const RunContext context{.stop = &stop, .adapters = adapters.get()};
    const auto canvas = parts_.start->canvas(request);
    const auto conditioning = encode(request, canvas, context);
    const auto start = parts_.start->read({.request = request,
                                           .canvas = canvas,
                                           .guidance = guidance_of(conditioning[0]),
                                           .codec = parts_.codec,
                                           .placement = latents_placement_,
                                           .context = context});
    std::shared_ptr<const HiresPlan> plan;
    std::vector<DenoiserConditioning> second_conditioning;
    if (request.hires) {
      const auto second = second_pass_request(request);
      check(second);
      const auto second_canvas = parts_.start->canvas(second);
      second_conditioning = encode(second, second_canvas, context);
      plan = std::make_shared<HiresPlan>(plan_hires(request, canvas, second_canvas));
    }
    std::vector<std::unique_ptr<Generation>> generations;
    for (std::int64_t i = 0; i < request.num_images; ++i) {
      const auto seed = request.seed + static_cast<std::uint64_t>(i);
      auto generation = begin_image(request, seed, conditioning, canvas);
      generation->adapters = adapters;
      if (plan) {
        generation->plan = plan;
        generation->second_pass = begin_image(plan->request, seed, second_conditioning, plan->canvas);
        generation->second_pass->adapters = adapters;
      }
      start->begin(*generation);
      check_noise(request, generation->latents);
      generations.push_back(std::move(generation));
    }
    return std::make_unique<DiffusionBeginTicket>(std::move(generations), placement_.device);
  });
}

std::unique_ptr<DiffusionGeneration> DiffusionPipeline::begin_image(
    const GenerationRequest& request, std::uint64_t seed, const std::vector<DenoiserConditioning>& conditioning,
    const Canvas& canvas) const {
  auto generation = std::make_unique<DiffusionGeneration>(seed, canvas);
  generation->guidance_scale = row_guidance_scale(request);
  generation->guidance_rescale = request.guidance_rescale;
  generation->guidance_rule = parts_.guidance_rule;
  generation->phases = begin_phases(request, conditioning, canvas);
  generation->start();
  return generation;
}

std::vector<DenoiserConditioning> DiffusionPipeline::encode(const GenerationRequest& request, const Canvas& canvas,
                                                            const RunContext& context) {
  std::vector<DenoiserConditioning> conditioning;
  for (auto& denoiser : parts_.denoisers) {
    const auto guidance = parts_.start->guidance(request, row_guidance_scale(request), *denoiser.model);
    conditioning.push_back(denoiser.conditioner->encode(request, canvas, guidance, context));
    keep_projections(conditioning.back());
  }
  return conditioning;
}

std::vector<Phase> DiffusionPipeline::begin_phases(const GenerationRequest& request,
                                                   const std::vector<DenoiserConditioning>& conditioning,
                                                   const Canvas& canvas) const {
  std::vector<Phase> phases;
  for (std::size_t d = 0; d < parts_.denoisers.size(); ++d) {
    phases.push_back(begin_phase(d, request, conditioning[d], canvas));
  }
  if (phases.size() == 2) {
    hand_over(phases[0], phases[1], request.denoising_end.value_or(parts_.denoising_end),
              parts_.denoisers[0].scheduler_config.num_train_timesteps());
  }
  if (request.guidance_interval) limit_guidance(phases, *request.guidance_interval);
  for (auto& phase : phases) {
    if (phase.steps() > 0) phase.scheduler->set_begin_index(phase.first_step);
  }
  return phases;
}

std::unique_ptr<Scheduler> DiffusionPipeline::begin_run(const Denoiser& denoiser, const std::string& default_scheduler,
                                                        const GenerationRequest& request, const Canvas& canvas) const {
  SchedulerOptions options{.eta = request.eta, .strength = parts_.start->scheduler_strength(request)};
  if (const auto pixels = denoiser.pixels_per_token; pixels > 0) {
    const auto tokens = (canvas.generated_width / pixels) * (canvas.generated_height / pixels);
    options.mu = denoiser.scheduler_config.mu(denoiser.mu_rule, tokens,
                                              request.num_inference_steps.value_or(description_.default_steps));
  }
  auto scheduler = denoiser.scheduler_config.make(request.scheduler.value_or(default_scheduler), options);
  set_request_timesteps(*scheduler, request, description_.default_steps, denoiser.default_sigmas);
  return scheduler;
}

Phase DiffusionPipeline::begin_phase(std::size_t index, const GenerationRequest& request,
                                     DenoiserConditioning conditioning, const Canvas& canvas) const {
  const auto& denoiser = parts_.denoisers[index];
  Phase phase;
  phase.denoiser = index;
  phase.conditioning = std::move(conditioning);
  const auto name = index == 0 ? description_.default_scheduler : denoiser.scheduler_config.checkpoint_scheduler_name();
  phase.scheduler = begin_run(denoiser, name, request, canvas);
  phase.first_step = parts_.start->first_step(request, *phase.scheduler);
  phase.end_step = phase.scheduler->timesteps().size();
  if (denoiser.noise_conditioning == NoiseConditioning::kLogSigma) phase.sigmas = run_sigmas(*phase.scheduler);
  const auto& numbers = phase.sigmas.defined() ? log_sigma_conditioning(phase.sigmas) : phase.scheduler->timesteps();
  phase.timesteps = upload(at::tensor(numbers, at::kFloat), placement_.device, at::kFloat);
  if (denoiser.model->takes_guidance_scale() && !phase.conditioning.timestep_cond.defined()) {
    phase.conditioning.timestep_cond =
        upload(denoiser.model->embed_guidance_scale(guidance_scale(request)), placement_.device, placement_.dtype)
            .expand({phase.conditioning.prompt_embeds.size(0), -1});
  }
  return phase;
}

std::string DiffusionPipeline::batch_key(const Generation& generation) const {
  const auto& row = static_cast<const DiffusionGeneration&>(generation);
  if (row.finished_stepping()) return "finished";
  const auto& phase = row.phase();
  // Prompts that say how long they are need not be equally long.
  const auto& conditioning = phase.conditioning;
  const auto prompt_length = conditioning.prompt_lengths.empty() ? conditioning.prompt_embeds.size(1) : 0;
  std::string references;
  for (const auto& latents : conditioning.references) {
    references += concat(latents.size(2), 'x', latents.size(3), ' ');
  }
  return concat(phase.denoiser, ' ', row.latents.size(2), 'x', row.latents.size(3), ' ', prompt_length, ' ', references,
                row.adapters ? row.adapters->key() : "");
}

at::Tensor DiffusionPipeline::predict(std::span<DiffusionGeneration* const> generations, RunContext context) {
  std::vector<at::Tensor> samples, timesteps;
  std::vector<const DenoiserConditioning*> conditioning;
  std::deque<DenoiserConditioning> text_rows;
  for (const auto* g : generations) {
    const auto& phase = g->phase();
    auto sample = phase.scheduler->scale_model_input(g->latents, g->step_index);
    const auto& extra = g->extra_channels;
    const bool extra_of_each = extra.defined() && extra.size(0) > 1;
    if (extra.defined() && !extra_of_each) sample = at::cat(at::TensorList({sample, extra}), 1);
    const auto timestep = phase.timesteps.narrow(0, static_cast<std::int64_t>(g->step_index), 1);
    const bool text_only = g->rows() < phase.conditioning.prompt_embeds.size(0);
    const auto first = text_only ? text_row(phase.conditioning.prompt_embeds.size(0)) : 0;
    for (auto row = first; row < first + g->rows(); ++row) {
      samples.push_back(extra_of_each ? at::cat(at::TensorList({sample, extra.narrow(0, row, 1)}), 1) : sample);
      timesteps.push_back(timestep);
    }
    conditioning.push_back(text_only ? &text_rows.emplace_back(text_row_of(phase.conditioning)) : &phase.conditioning);
  }
  const auto& model = *parts_.denoisers[generations[0]->phase().denoiser].model;
  auto rows = stack_rows(conditioning);
  if (!placement_.device.is_cpu()) keep_timesteps(rows.images, generations);
  recent_prompts_.use(rows.images);
  context.images = &rows.images;
  return model.predict(stack_rows(samples), stack_rows(timesteps), rows, context);
}

std::unique_ptr<StepTicket> DiffusionPipeline::step(std::span<Generation* const> generations,
                                                    const StopPredicate& stop) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::unique_ptr<StepTicket> {
    const auto rows = own(generations);
    for (const auto* g : rows) {
      if (g->finished_stepping()) throw Error(ErrorCode::kInvalidArgument, "a generation has no steps left");
      if (batch_key(*g) != batch_key(*rows[0])) throw Error(ErrorCode::kInvalidArgument, "batch keys differ");
    }
    // With equal keys, all rows have the adapters of the first one.
    const auto model_output = predict(rows, RunContext{.stop = &stop, .adapters = rows[0]->adapters.get()});

    std::vector<StepResult> advances;
    std::vector<at::Tensor> finite;
    std::int64_t offset = 0;
    for (auto* g : rows) {
      advances.push_back(advance(*g, model_output.narrow(0, offset, g->rows())));
      offset += g->rows();
      const auto& sample = advances.back().step.prev_sample;
      finite.push_back(at::isfinite(sample).all());
      // Each tile is decoded after its last step, so that other images' steps run between the decodes of a large image.
      if (g->ends_tile()) advances.back().decoded = decode(*g, sample, RunContext{.stop = &stop});
      if (g->ends_first_pass()) start_second_pass(*g, sample, RunContext{.stop = &stop});
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
    // One at a time: a decode's activations are the largest tensors of all, and batching decodes gains nothing.
    for (const auto* g : own(generations)) {
      images.push_back({.parts = {},
                        .grid = g->grid,
                        .canvas = g->canvas,
                        .seed = g->seed(),
                        .prompt_cut = g->prompt_cut(),
                        .prompt_tokens = g->prompt_tokens(),
                        .kept_pixels = g->kept_pixels});
      auto& parts = images.back().parts;
      if (g->tiles.empty()) parts.push_back(decode(*g, g->latents, context));
      for (const auto& tile : g->tiles) {
        parts.push_back(tile.decoded.pixels.defined() ? tile.decoded : decode(*g, tile.latents, context));
      }
    }
    return std::make_unique<DiffusionFinishTicket>(std::move(images), placement_.device);
  });
}

DiffusionFinishTicket::DecodedTile DiffusionPipeline::decode(const DiffusionGeneration& generation,
                                                             const at::Tensor& latents,
                                                             const RunContext& context) const {
  const auto masking = generation.masking;
  const auto& canvas = generation.canvas;
  const auto pixels_of = [](const at::Tensor& decoded, const Canvas& output) {
    return to_pixels(output.covered ? cover_output(decoded, output) : decoded);
  };
  const auto decoded = parts_.codec.decode(latents, context, masking);
  DiffusionFinishTicket::DecodedTile part{.pixels = pixels_of(decoded, canvas)};
  part.finite = at::isfinite(decoded).all().to(at::kCPU, /*non_blocking=*/true);
  if (!parts_.codec.may_overflow()) return part;
  part.decode_in_float32 = [this, latents, masking, canvas, pixels_of] {
    const c10::InferenceMode inference;
    const auto wide = parts_.codec.decode_in_float32(latents, masking);
    if (!at::isfinite(wide).all().item<bool>()) {
      throw Error(ErrorCode::kCorruptData, "the autoencoder produced infinities or NaN in float32 too");
    }
    return pixels_of(wide, canvas);
  };
  return part;
}

std::optional<Image> DiffusionPipeline::preview(const Generation& generation) {
  const c10::InferenceMode inference;
  return with_torch_errors([&]() -> std::optional<Image> {
    const auto& row = static_cast<const DiffusionGeneration&>(generation);
    // While tiles are generated, the state holds one tile, which is not a preview of the image.
    if (!row.pred_original_sample.defined() || !row.tiles.empty()) return std::nullopt;
    return parts_.codec.preview(row.pred_original_sample);
  });
}

}  // namespace easel
