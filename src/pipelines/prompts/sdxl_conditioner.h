// Conditioning of SDXL's base and refiner.
#pragma once

#include <memory>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "pipelines/prompts/conditioner.h"
#include "pipelines/prompts/prompt_encoder.h"
#include "tensor/placement.h"

namespace easel {

/// The pipeline class of SDXL's refiner, and of any SDXL checkpoint that is saved for image to image.
inline constexpr const char* kSdxlRefinerClass = "StableDiffusionXLImg2ImgPipeline";

/// Which numbers are added to the timestep's embedding together with the pooled prompt.
enum class TimeIds {
  kSizes,            ///< original size, crop, target size
  kAestheticScores,  ///< original size, crop, aesthetic score: `requires_aesthetics_score` of the refiner
};

/// What the reference's pipeline starts from.
enum class StartKind {
  kNoise,
  kImage,  ///< an image, or the latents that a base hands over
};

/// Settings in model_index.json.
struct SdxlSettings {
  bool force_zeros_for_empty_prompt = true;  ///< the embeddings of an empty negative prompt are zeros
  TimeIds time_ids = TimeIds::kSizes;
  StartKind start = StartKind::kNoise;  ///< for requests without an image
};

SdxlSettings read_sdxl_settings(const Checkpoint& folder);

/// Conditions on the embeddings of all text encoders next to each other, the pooled text of the last one, and the time
/// ids.
class SdxlConditioner : public Conditioner {
 public:
  /// @param encoders   at least one; the last has a projection
  /// @param placement  of the denoising model
  SdxlConditioner(std::vector<std::shared_ptr<PromptEncoder>> encoders, const SdxlSettings& settings,
                  const Placement& placement);

  DenoiserConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                              const RunContext& context) override;

 private:
  at::Tensor time_ids(const MicroConditioning& given, const Canvas& canvas, Guidance guidance, StartKind start) const;

  std::vector<std::shared_ptr<PromptEncoder>> encoders_;
  SdxlSettings settings_;
  Placement placement_;
};

}  // namespace easel
