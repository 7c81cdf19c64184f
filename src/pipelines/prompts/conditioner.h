// Turns a request's prompts into the inputs of a denoising model. Families of diffusion models differ most here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "easel/generation.h"
#include "nn/prompt_projections.h"
#include "nn/run_context.h"
#include "pipelines/images/canvas.h"

namespace easel {

/// Whether unconditional rows run along with each image's own row.
enum class Guidance { kOff, kOn };

/// What a denoising model is given for one image in addition to latents and timestep; the same at every step. There are
/// k rows: 1 without guidance; 2 with it, the negative prompt's first; 3 where an image guides as well (see
/// guidance.h). A tensor is undefined where the model has no such input.
struct DenoiserConditioning {
  at::Tensor prompt_embeds;  ///< [k, T, D]
  /// The tokens that each row has, where rows have different numbers of them; the rest of a row is filled with zeros.
  /// Empty for models that see all T tokens of each row.
  std::vector<std::int64_t> prompt_lengths = {};
  at::Tensor text_embeds;         ///< [k, P]: the pooled prompt
  at::Tensor time_ids;            ///< [k, n]: sizes, crops, scores
  at::Tensor class_labels = {};   ///< int64 [k]
  at::Tensor timestep_cond = {};  ///< [k, n]: added to the timestep's embedding, e.g. the embedded guidance scale
  /// Latents of images that the model sees along with the sample, in their order: [k, C, h, w], each of a size of its
  /// own. Set by the start strategy.
  std::vector<at::Tensor> references = {};
  /// What the model keeps of the prompts from step to step, by image. Set by keep_projections.
  std::vector<ImageRows> images = {};
  std::shared_ptr<PromptProjections> text_projections = {};  ///< the same for text_row_of; null where it is not kept
  bool prompt_cut = false;                                   ///< GeneratedImage::prompt_cut
  std::int64_t prompt_tokens = 0;                            ///< GeneratedImage::prompt_tokens
};

/// Rows of several images, one below another; undefined when there are none.
at::Tensor stack_rows(const std::vector<at::Tensor>& parts);

/// The same for all of a DenoiserConditioning; prompts with lengths of their own are filled up to the longest.
/// @param images  of one model, so that the same tensors are defined in each, with references of the same sizes
DenoiserConditioning stack_rows(const std::vector<const DenoiserConditioning*>& images);

/// The conditioning of a step without guidance: the prompt's own row.
DenoiserConditioning text_row_of(const DenoiserConditioning& image);
/// The index of that row among an image's k.
std::int64_t text_row(std::int64_t rows);

/// Lets the model compute once for all steps what depends on the prompts only. Copies of the conditioning share the
/// results, so they must be for the same model with the same adapters.
void keep_projections(DenoiserConditioning& conditioning);

/// Turns requests into conditioning for one denoising model. Not thread-safe: it may cache prompts.
class Conditioner {
 public:
  virtual ~Conditioner() = default;
  /// @param canvas  the image's sizes
  /// @throws Error(kInvalidArgument)  a value that this family cannot use; names the field
  /// @throws Error(kCancelled)
  virtual DenoiserConditioning encode(const GenerationRequest& request, const Canvas& canvas, Guidance guidance,
                                      const RunContext& context) = 0;
};

}  // namespace easel
