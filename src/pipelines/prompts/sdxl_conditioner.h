// What SDXL's base and refiner make of a request.
#pragma once

#include <memory>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "pipelines/prompts/conditioner.h"
#include "pipelines/prompts/prompt_encoder.h"
#include "tensor/placement.h"

namespace easel {

/// The numbers that go with the prompt into the timestep's embedding.
enum class TimeIds {
  kSizes,            ///< original size, crop, target size
  kAestheticScores,  ///< original size, crop, aesthetic score: `requires_aesthetics_score` of the refiner
};

/// What a pipeline of the reference draws from.
enum class StartKind {
  kNoise,
  kImage,  ///< or from the latents that a base hands over
};

/// What model_index.json says beside its components.
struct SdxlSettings {
  bool force_zeros_for_empty_prompt = true;  ///< without a negative prompt, the unconditional embeddings are zeros
  TimeIds time_ids = TimeIds::kSizes;
  StartKind start = StartKind::kNoise;  ///< of requests without an image
};

SdxlSettings read_sdxl_settings(const Checkpoint& folder);

/// Texts of all encoders side by side, the pooled text of the last one, and the time ids.
class SdxlConditioner : public Conditioner {
 public:
  /// @param encoders   at least one; the last has a projection
  /// @param placement  of the UNet
  SdxlConditioner(std::vector<std::shared_ptr<PromptEncoder>> encoders, const SdxlSettings& settings,
                  const Placement& placement);

  UNetConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                          const RunContext& context) override;

 private:
  at::Tensor time_ids(const MicroConditioning& given, const Canvas& canvas, Guidance guidance, StartKind start) const;

  std::vector<std::shared_ptr<PromptEncoder>> encoders_;
  SdxlSettings settings_;
  Placement placement_;
};

}  // namespace easel
