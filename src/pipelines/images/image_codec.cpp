#include "pipelines/images/image_codec.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_lstsq.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>

#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "easel/noise.h"
#include "pipelines/images/pixels.h"
#include "tensor/free_memory.h"
#include "tensor/torch_errors.h"
#include "tensor/upload.h"

namespace easel {
namespace {

// Clients choose sizes, so what is kept for each must be bounded.
constexpr std::size_t kMostSizes = 256;

/// One number per channel as [1, C, 1, 1], on the device and in the dtype of `like`.
at::Tensor per_channel(const std::vector<double>& numbers, const at::Tensor& like) {
  return upload(at::tensor(numbers, at::kFloat).view({1, -1, 1, 1}), like.device(), like.scalar_type());
}

}  // namespace

ImageCodec::ImageCodec(AutoencoderKL vae, VaeFields fields, const Placement& placement,
                       std::function<AutoencoderKL()> load_float32)
    : vae_(std::move(vae)), fields_(fields), placement_(placement), load_float32_(std::move(load_float32)) {}

at::Tensor ImageCodec::unscale(const AutoencoderKL& vae, const at::Tensor& latents, Masking masking) const {
  if (fields_ == VaeFields::kPatches) return vae.from_patches(latents);
  const auto& c = vae.config();
  if (fields_ == VaeFields::kAll && c.latents_mean && c.latents_std) {
    return latents * per_channel(*c.latents_std, latents) / c.scaling_factor + per_channel(*c.latents_mean, latents);
  }
  const auto scaled = latents / c.scaling_factor;
  const bool left_out = fields_ == VaeFields::kShiftUnlessMasked && masking == Masking::kMasked;
  return reads_shift() && c.shift_factor && !left_out ? scaled + *c.shift_factor : scaled;
}

ImageExtent ImageCodec::extent_of(const Work& work) const {
  const auto scale = config().scale();
  return {.height = work.height * scale, .width = work.width * scale, .cell = scale};
}

std::int64_t ImageCodec::memory_of(const Work& work, std::int64_t tile, const Placement& where) const {
  if (estimates_.size() >= kMostSizes) estimates_.clear();
  const auto [known, is_new] = estimates_.try_emplace({work, tile}, 0);
  if (is_new) {
    const LatentSize whole{.rows = 1, .height = work.height, .width = work.width};
    known->second = work.direction == Direction::kEncode ? tiled_encode_bytes(config(), whole, tile, where)
                                                         : tiled_decode_bytes(config(), whole, tile, where);
  }
  return known->second;
}

std::int64_t ImageCodec::tile_for(const Work& work, const Placement& where) const {
  if (const auto learned = learned_tiles_.find(work); learned != learned_tiles_.end()) return learned->second;
  const auto image = extent_of(work);
  const auto needed = [&](std::int64_t edge) { return memory_of(work, edge, where); };
  const auto free = tiling_ == VaeTiling::kAuto ? free_memory(where.device, /*wanted=*/needed(0) / 7 * 8) : 0;
  const auto tile = choose_tile(tiling_, image, reference_tile(config()), free, needed);
  if (tile > 0 && tiling_ == VaeTiling::kAuto) {
    log::info(concat("not enough free memory for the autoencoder at once: an image of ", image.width, "x", image.height,
                     " is processed in tiles of ", tile, " pixels"));
  }
  return tile;
}

/// Calls `run` with the edge of the tiles, 0 for none. Estimates do not know the workspaces of the device's libraries
/// and what other programs do: if memory runs out, smaller tiles are tried, and kept for later images of this size.
template <class Run>
auto ImageCodec::in_tiles_that_fit(const Work& work, const Placement& where, const Run& run) const {
  for (auto tile = tile_for(work, where);;) {
    try {
      return with_torch_errors([&] { return run(tile); });
    } catch (const Error& e) {
      const auto image = extent_of(work);
      const auto smaller = next_smaller_tile(image, reference_tile(config()), tile);
      if (e.code() != ErrorCode::kResourceExhausted || tiling_ == VaeTiling::kOff || !smaller) throw;
      log::warning(concat("memory ran out in the autoencoder: images of ", image.width, "x", image.height,
                          " are processed in tiles of ", *smaller, " pixels from now on"));
      tile = *smaller;
    }
    release_cached_memory(where.device);
    if (learned_tiles_.size() >= kMostSizes) learned_tiles_.clear();
    learned_tiles_.insert_or_assign(work, tile);
  }
}

DiagonalGaussianDistribution ImageCodec::encode(const at::Tensor& pixels, const RunContext& context) const {
  const auto scale = config().scale();
  const Work work{.direction = Direction::kEncode,
                  .height = pixels.size(2) / scale,
                  .width = pixels.size(3) / scale,
                  .dtype = placement_.dtype};
  const auto placed = upload(pixels, placement_.device, placement_.dtype);
  return in_tiles_that_fit(work, placement_, [&](std::int64_t tile) {
    return tile > 0 ? tiled_encode(vae_, placed, tile, context) : vae_.encode(placed, context);
  });
}

at::Tensor ImageCodec::scale(const at::Tensor& latents) const {
  if (fields_ == VaeFields::kPatches) return vae_.to_patches(latents);
  const auto& c = config();
  if (fields_ == VaeFields::kAll && c.latents_mean && c.latents_std) {
    return (latents - per_channel(*c.latents_mean, latents)) * c.scaling_factor / per_channel(*c.latents_std, latents);
  }
  return scale_masked(latents);
}

at::Tensor ImageCodec::scale_masked(const at::Tensor& latents) const {
  const auto& c = config();
  return (reads_shift() && c.shift_factor ? latents - *c.shift_factor : latents) * c.scaling_factor;
}

at::Tensor ImageCodec::decode(const at::Tensor& latents, const RunContext& context, Masking masking) const {
  return decode_with(vae_, placement_, latents, masking, context);
}

at::Tensor ImageCodec::decode_with(const AutoencoderKL& vae, const Placement& where, const at::Tensor& latents,
                                   Masking masking, const RunContext& context) const {
  const auto placed = unscale(vae, latents.to(where.device, where.dtype), masking);
  const Work work{
      .direction = Direction::kDecode, .height = placed.size(2), .width = placed.size(3), .dtype = where.dtype};
  return in_tiles_that_fit(work, where, [&](std::int64_t tile) {
    return tile > 0 ? tiled_decode(vae, placed, tile, context) : vae.decode(placed, context);
  });
}

at::Tensor ImageCodec::decode_in_float32(const at::Tensor& latents, Masking masking) const {
  auto wide = placement_;
  wide.dtype = at::kFloat;
  if (wide.device.is_cpu() || wide.offloader) return decode_with(load_float32_(), wide, latents, masking, {});
  if (!float32_vae_) float32_vae_.emplace(load_float32_());
  return decode_with(*float32_vae_, wide, latents, masking, {});
}

at::Tensor ImageCodec::fit_preview_map() const {
  // Colour is close to linear in the latents of an image, so a least-squares fit over one decoded patch is enough. The
  // patch consists of flat blocks: to white noise the decoder responds differently, which made the error of a preview
  // as large as the difference between an early and a late one. More channels need more blocks, so smaller ones.
  const std::int64_t cell = config().scale() * config().patch_size, channels = latent_channels();
  const std::int64_t block = channels > 4 ? 2 : 4;
  // A fit needs more blocks than channels.
  const std::int64_t edge = channels < 64 ? 16 : 32;
  const auto blocks = NoiseSource(0).normal({1, channels, edge / block, edge / block});
  const auto latents = blocks.repeat_interleave(block, 2).repeat_interleave(block, 3);
  const auto pixels = at::avg_pool2d(decode(latents, {}).to(at::kCPU, at::kFloat), {cell, cell});
  const auto rows = latents.flatten(2).squeeze(0).t();  // [h * w, C]
  const auto design = at::cat(at::TensorList({rows, at::ones({rows.size(0), 1})}), 1);
  const auto target = pixels.flatten(2).squeeze(0).t();  // [h * w, 3]
  return std::get<0>(at::linalg_lstsq(design, target, std::nullopt, std::nullopt));
}

void ImageCodec::set_preview_decoder(AutoencoderKL tiny, const Placement& placement) {
  preview_decoder_.emplace(std::move(tiny));
  preview_placement_ = placement;
}

Image ImageCodec::preview(const at::Tensor& latents) {
  if (preview_decoder_) {
    return to_image(to_pixels(decode_with(*preview_decoder_, preview_placement_, latents, Masking::kNone, {})));
  }
  if (config().tiny) return to_image(to_pixels(decode(latents, {})));
  if (!preview_map_.defined()) preview_map_ = fit_preview_map();
  const auto channels = latents.to(at::kCPU, at::kFloat).squeeze(0).permute({1, 2, 0});  // [h, w, C]
  const auto rgb = channels.matmul(preview_map_.narrow(0, 0, channels.size(2))) + preview_map_[channels.size(2)];
  return to_image(to_pixels(rgb.permute({2, 0, 1}).unsqueeze(0)));
}

}  // namespace easel
