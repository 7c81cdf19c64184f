#include "pipelines/images/kept_pixels.h"

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "pipelines/images/pixels.h"

namespace easel {
namespace {

SourcePixels cut_out(const GenerationRequest& request, const Canvas& canvas) {
  const auto &image = *request.image, &mask = *request.mask;
  if (mask.width != image.width || mask.height != image.height) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("`mask` is ", mask.width, "x", mask.height, ", but `image` is ", image.width, "x", image.height,
                       "; with `padding_mask_crop` both must have the same size"),
                "mask");
  }
  const auto box = mask_region(mask, canvas.generated_width, canvas.generated_height, *request.padding_mask_crop);
  const auto part = [&](const Image& whole) {
    return resize_and_fill(crop(whole, box), canvas.generated_width, canvas.generated_height);
  };
  return {.image = part(image),
          .mask = part(mask),
          .kept = std::make_shared<KeptPixels>(KeptPixels{request.image, request.mask, box})};
}

}  // namespace

SourcePixels read_source_pixels(const GenerationRequest& request, const Canvas& canvas) {
  validate_image(*request.image, "image");
  if (!request.mask) return {.image = resize_to_generated(*request.image, canvas), .mask = std::nullopt};
  validate_image(*request.mask, "mask");
  if (request.padding_mask_crop) return cut_out(request, canvas);
  SourcePixels source{.image = resize_to_generated(*request.image, canvas),
                      .mask = resize_to_generated(*request.mask, canvas)};
  if (request.keep_unmasked) {
    source.kept = std::make_shared<KeptPixels>(
        KeptPixels{std::make_shared<Image>(source.image), std::make_shared<Image>(*source.mask)});
  }
  return source;
}

Image to_output(Image generated, const Canvas& canvas, const KeptPixels* kept) {
  if (kept == nullptr) return to_output(std::move(generated), canvas);
  if (!kept->box) return to_output(overlay_kept_pixels(*kept->image, *kept->mask, generated), canvas);
  const auto placed = place_in_box(generated, *kept->box, kept->image->width, kept->image->height);
  return overlay_kept_pixels(*kept->image, *kept->mask, placed);
}

}  // namespace easel
