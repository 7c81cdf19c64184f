// The image and the mask of a request as a pipeline uses them, and the pixels that the result keeps from them.
#pragma once

#include <memory>
#include <optional>

#include "easel/generation.h"
#include "easel/image.h"
#include "image/mask_region.h"
#include "pipelines/images/canvas.h"

namespace easel {

/// What a finished image takes from the image that it was drawn from: the pixels where the mask is black, and a share
/// of those where it is gray. Immutable.
struct KeptPixels {
  std::shared_ptr<const Image> image;
  std::shared_ptr<const Image> mask;  ///< of the same size
  /// The part of `image` that was drawn, where GenerationRequest::padding_mask_crop cut one out. None: all of it, and
  /// `image` and `mask` have the generated size.
  std::optional<PixelBox> box = std::nullopt;
};

/// A request's image and mask at the generated size.
struct SourcePixels {
  Image image;
  std::optional<Image> mask;  ///< 8 bits, of which a pipeline uses whether they are at least half
  std::shared_ptr<const KeptPixels> kept = nullptr;  ///< null: the result keeps no pixels
};

/// Resamples the image and the mask of a request, or the part that is drawn of them.
/// @param request  has an image
/// @throws Error(kInvalidArgument)  the image or the mask is malformed, or with padding_mask_crop their sizes differ or
///                                  the mask is black; names the field
SourcePixels read_source_pixels(const GenerationRequest& request, const Canvas& canvas);

/// The output of a generated image: to_output(), with the pixels that are kept. With KeptPixels::box, the output has
/// the size of the request's image.
/// @param kept  null: none
Image to_output(Image generated, const Canvas& canvas, const KeptPixels* kept);

}  // namespace easel
