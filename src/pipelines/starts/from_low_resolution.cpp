#include "pipelines/starts/from_low_resolution.h"

#include <ATen/TensorOperators.h>

#include <utility>
#include <vector>

#include "pipelines/images/pixels.h"
#include "tensor/upload.h"

namespace easel {
namespace {

/// Sizes of a request's tiles and of the noise that its images start with.
struct TileSizes {
  TileGrid pixels;        ///< of the generated image
  TileGrid cells;         ///< the same in latent cells
  TileGrid source_cells;  ///< of the low-resolution image, in the cells that its noise is drawn for
  std::int64_t latent_channels;
  std::int64_t source_channels;
};

class LowResolutionStart : public RequestStart {
 public:
  LowResolutionStart(std::vector<LowResolutionInput::NoisyTile> tiles, TileSizes sizes, const Placement& placement)
      : tiles_(std::move(tiles)), sizes_(std::move(sizes)), placement_(placement) {}

  void begin(DiffusionGeneration& generation) const override {
    const auto& [pixels, cells, source_cells, latent_channels, source_channels] = sizes_;
    NoiseSource noise(generation.seed());
    const auto source_noise = noise.normal({1, source_channels, source_cells.height, source_cells.width});
    const auto latents =
        upload(noise.normal({1, latent_channels, cells.height, cells.width}), placement_.device, placement_.dtype) *
        generation.phase().scheduler->init_noise_sigma();
    std::vector<Tile> tiles;
    for (std::size_t i = 0; i < tiles_.size(); ++i) {
      tiles.push_back({.noise = noise_of_tile(noise, cells, i),
                       .latents = cut_tile(latents, cells, i),
                       .extra_channels = tiles_[i](cut_tile(source_noise, source_cells, i))});
    }
    generation.begin_tiles(std::move(tiles), pixels);
  }

 private:
  std::vector<LowResolutionInput::NoisyTile> tiles_;
  TileSizes sizes_;
  Placement placement_;
};

}  // namespace

FromLowResolution::FromLowResolution(const UpscaleSizes& sizes, int latent_cell,
                                     std::unique_ptr<const LowResolutionInput> input)
    : sizes_(sizes), latent_cell_(latent_cell), input_(std::move(input)) {}

void FromLowResolution::check(const GenerationRequest& request) const {
  input_->check(request);
}

Canvas FromLowResolution::canvas(const GenerationRequest& request) const {
  return upscale_canvas(request, sizes_);
}

Guidance FromLowResolution::guidance(const GenerationRequest&, double guidance_scale, const DenoisingModel&) const {
  return guidance_scale > 1.0 ? Guidance::kOn : Guidance::kOff;
}

std::unique_ptr<const RequestStart> FromLowResolution::read(const StartInput& input) const {
  validate_image(*input.request.image, "image");
  const auto source = resize_to_source(*input.request.image, input.canvas, sizes_);
  const auto grid = plan_source_tiles(source, sizes_);
  std::vector<LowResolutionInput::NoisyTile> tiles;
  for (std::size_t i = 0; i < grid.count(); ++i) {
    tiles.push_back(input_->read(to_tensor(cut_tile(source, grid, i)), input));
  }
  TileSizes sizes{.pixels = grid.scaled(sizes_.factor),
                  .cells = grid.scaled(sizes_.factor, latent_cell_),
                  .source_cells = grid.scaled(1, sizes_.cell),
                  .latent_channels = input.codec.config().latent_channels,
                  .source_channels = input_->channels(input.codec)};
  return std::make_unique<LowResolutionStart>(std::move(tiles), std::move(sizes), input.placement);
}

}  // namespace easel
