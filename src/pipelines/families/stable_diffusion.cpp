// Family::load of Stable Diffusion 1.x and 2.x and of latent consistency models.
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/prompt_rows.h"

namespace easel {

std::unique_ptr<Pipeline> load_stable_diffusion(PipelineBuilder& builder) {
  builder.add_unet(builder.folder(), make_prompt_conditioner(builder.text_encoders()[0]));
  return builder.build();
}

}  // namespace easel
