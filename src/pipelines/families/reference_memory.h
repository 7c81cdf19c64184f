// Whether a device has memory for the images that a request gives as references.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "easel/generation.h"
#include "models/memory/activation_memory.h"
#include "tensor/placement.h"

namespace easel {

/// The bytes of one call of a denoising model. Sizes are in tokens.
using ReferenceStepBytes =
    std::function<std::int64_t(const LatentSize& sample, std::span<const LatentSize> references)>;

/// Checks requests before they are queued. Immutable; thread-safe.
class ReferenceMemory {
 public:
  /// @param available  bytes of the device
  /// @param held       of them, what is there during a step: weights
  /// @param step       its references include an image that a mask is for
  ReferenceMemory(ModelDescription model, std::int64_t available, std::int64_t held, ReferenceStepBytes step);

  /// @param rows  of the denoising model, for one image of the request
  /// @throws Error(kInvalidArgument)  a step with all images of the request needs more memory than the device has; says
  ///                                  how many fit, and names `image`
  void check(const GenerationRequest& request, int rows) const;

 private:
  ModelDescription model_;
  std::int64_t available_, held_;
  ReferenceStepBytes step_;
};

/// The bytes of a model's weights that are on the device during a step.
std::int64_t weights_during_step(const ModelDescription& model, const Placement& placement);

}  // namespace easel
