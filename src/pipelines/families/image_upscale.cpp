// Family::load of the upscaler that works on pixels.
#include <ATen/ops/full.h>

#include <algorithm>
#include <utility>

#include "core/text.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/images/pixels.h"
#include "pipelines/prompts/prompt_rows.h"
#include "pipelines/starts/from_low_resolution.h"
#include "schedulers/schedule/noise_schedule.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::int64_t kDefaultNoiseLevel = 20, kDefaultMaxNoiseLevel = 350;

std::int64_t noise_level_of(const GenerationRequest& request, std::int64_t max_noise_level) {
  return request.noise_level.value_or(std::min(kDefaultNoiseLevel, max_noise_level));
}

/// Conditions on the prompt, and on the noise level as a class.
class NoiseLevelConditioner : public Conditioner {
 public:
  NoiseLevelConditioner(std::unique_ptr<Conditioner> prompt_conditioner, std::int64_t max_noise_level,
                        c10::Device device)
      : prompt_conditioner_(std::move(prompt_conditioner)), max_noise_level_(max_noise_level), device_(device) {}

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                              const RunContext& context) override {
    auto conditioning = prompt_conditioner_->encode(request, canvas, guidance, context);
    conditioning.class_labels =
        upload(at::full({conditioning.prompt_embeds.size(0)}, noise_level_of(request, max_noise_level_), at::kLong),
               device_, at::kLong);
    return conditioning;
  }

 private:
  std::unique_ptr<Conditioner> prompt_conditioner_;
  std::int64_t max_noise_level_;
  c10::Device device_;
};

/// The model sees the low-resolution pixels with noise of the request's level added.
class NoisyPixels : public LowResolutionInput {
 public:
  NoisyPixels(NoiseSchedule schedule, std::int64_t max_noise_level)
      : schedule_(std::move(schedule)), max_noise_level_(max_noise_level) {}

  void check(const GenerationRequest& request) const override {
    const auto level = noise_level_of(request, max_noise_level_);
    if (level < 0 || level > max_noise_level_) {
      reject_field("noise_level", concat("is ", level, ", expected 0 to ", max_noise_level_));
    }
  }

  std::int64_t channels(const ImageCodec&) const override { return kImageChannels; }

  NoisyTile read(const at::Tensor& pixels, const StartInput& input) const override {
    return [this, image = upload(pixels, input.placement.device, input.placement.dtype),
            level = noise_level_of(input.request, max_noise_level_)](const at::Tensor& noise) {
      return schedule_.add_noise(image, upload(noise, image.device(), image.scalar_type()), level);
    };
  }

 private:
  NoiseSchedule schedule_;
  std::int64_t max_noise_level_;
};

NoiseSchedule read_low_res_schedule(const Checkpoint& folder) {
  folder.require(Component::kLowResScheduler, "DDPMScheduler");
  const auto config = folder.source->config(Component::kLowResScheduler);
  try {
    SchedulerArguments arguments(config.object(), nlohmann::json::object());
    return read_noise_schedule(arguments, ZeroTerminalSnr::kExact, {.supports_sigmoid_and_laplace = true});
  } catch (const Error& e) {
    throw Error(e.code(), concat(config.where(), ": ", e.what()));
  }
}

/// @throws Error(kUnsupported)  the UNet has no class for a noise level that requests may name
std::int64_t read_max_noise_level(const Checkpoint& folder) {
  Config settings(folder.settings, folder.index);
  const auto level = settings.get<std::int64_t>("max_noise_level", kDefaultMaxNoiseLevel);
  auto json = folder.source->config(Component::kUnet);
  const auto unet = UNet2DConditionConfig::from(json);
  if (unet.class_embed_type != ClassEmbedType::kEmbedding || level < 0 || level >= unet.num_class_embeds) {
    throw Error(ErrorCode::kUnsupported, concat(json.where(), ": `num_class_embeds` is ", unet.num_class_embeds,
                                                "; an upscaler needs more than its `max_noise_level`, ", level));
  }
  return level;
}

/// The latents must be as large as the low-resolution image, because the UNet sees both.
void check_cell(const PipelineBuilder& builder) {
  const auto cell = builder.description().cell, factor = builder.family().upscale_factor;
  if (cell == factor) return;
  throw Error(ErrorCode::kUnsupported,
              concat(builder.folder().source->config(Component::kVae).where(), ": `block_out_channels` enlarges by ",
                     cell, "; easel supports ", factor, " in this family"));
}

}  // namespace

std::unique_ptr<Pipeline> load_image_upscale(PipelineBuilder& builder) {
  const auto& folder = builder.folder();
  const auto& description = builder.description();
  check_cell(builder);
  const auto max_noise_level = read_max_noise_level(folder);
  auto prompt_conditioner = make_prompt_conditioner(builder.text_encoders()[0]);
  builder.add_unet(folder,
                   std::make_unique<NoiseLevelConditioner>(std::move(prompt_conditioner), max_noise_level,
                                                           builder.placement().device),
                   {.class_labels = true});
  const auto sizes =
      upscale_sizes(description.upscale_factor, description.cell, description.cell, folder.manifest.upscale_tile);
  auto pixels = std::make_unique<NoisyPixels>(read_low_res_schedule(folder), max_noise_level);
  return builder.build(std::make_unique<FromLowResolution>(sizes, description.cell, std::move(pixels)),
                       /*extra_channels=*/kImageChannels);
}

}  // namespace easel
