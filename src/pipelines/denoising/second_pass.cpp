// The change from the first pass of an image to the second.
#include <memory>

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/denoising/hires_pass.h"

namespace easel {

void DiffusionPipeline::start_second_pass(DiffusionGeneration& generation, const at::Tensor& latents,
                                          const RunContext& context) const {
  const auto& plan = *generation.plan;
  auto& second = *generation.second_pass;
  auto request = plan.request;
  at::Tensor image_latents;
  if (enlarges_latents(plan.upscaler)) {
    const auto cells = [&](std::int64_t at_size, int from, int to) { return at_size * to / from; };
    image_latents = enlarge_latents(
        latents, cells(latents.size(2), generation.canvas.generated_height, plan.canvas.generated_height),
        cells(latents.size(3), generation.canvas.generated_width, plan.canvas.generated_width), plan);
  } else {
    const auto decoded = decode(generation, latents, context);
    DeviceEvent(placement_.device).wait();
    const auto image = to_output(DiffusionFinishTicket::image_of(decoded), generation.canvas);
    request.image = std::make_shared<const Image>(enlarge_image(image, plan));
  }
  second.noise = NoiseSource(generation.seed());
  const bool guided = second.phase().conditioning.prompt_embeds.size(0) > 1;
  const auto start = parts_.start->read({.request = request,
                                         .canvas = plan.canvas,
                                         .guidance = guided ? Guidance::kOn : Guidance::kOff,
                                         .codec = parts_.codec,
                                         .placement = latents_placement_,
                                         .context = context,
                                         .image_latents = image_latents});
  start->begin(second);
}

}  // namespace easel
