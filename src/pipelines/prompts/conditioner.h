// What a family makes of a request's words: the part in which families of diffusion models differ.
#pragma once

#include <ATen/core/Tensor.h>

#include "easel/generation.h"
#include "nn/run_context.h"
#include "pipelines/images/canvas.h"

namespace easel {

/// Whether a second, unconditional row runs beside each image's own.
enum class Guidance { kOff, kOn };

/// What a UNet is told of one image beside its latents and timestep, the same at every step. Of k rows: 1 without
/// guidance; 2 with it, the negative prompt's first; 3 where an image guides as well (see guidance.h). Undefined where
/// a model takes no such thing.
struct UNetConditioning {
  at::Tensor prompt_embeds;       ///< [k, T, D]
  at::Tensor text_embeds;         ///< [k, P]: the pooled prompt
  at::Tensor time_ids;            ///< [k, n]: sizes, crops, scores
  at::Tensor class_labels = {};   ///< int64 [k]
  at::Tensor timestep_cond = {};  ///< [k, time_cond_proj_dim]; undefined: the guidance scale's, where a UNet takes one
  bool prompt_cut = false;        ///< GeneratedImage::prompt_cut
};

/// Turns requests into conditions for one UNet. Not thread-safe: it may remember prompts.
class Conditioner {
 public:
  virtual ~Conditioner() = default;
  /// @param canvas  the image's sizes
  /// @throws Error(kInvalidArgument)  a value this family cannot draw; names the field
  /// @throws Error(kCancelled)
  virtual UNetConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                                  const RunContext& context) = 0;
};

}  // namespace easel
