#include "image/mask_region.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "image/checks.h"
#include "image/pillow_luma.h"
#include "image/pillow_resize.h"

namespace easel {
namespace {

std::size_t offset(const Image& image, int x, int y) {
  return (static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) + static_cast<std::size_t>(x)) *
         kChannels;
}

Image black_image(int width, int height) {
  check_size(width, height);
  Image image{.width = width, .height = height, .pixels = {}};
  image.pixels.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * kChannels);
  return image;
}

/// Copies `part` to a position of `image`, without what would lie outside it.
void paste(const Image& part, int left, int top, Image& image) {
  const int first = std::max(left, 0), end = std::min(left + part.width, image.width);
  if (first >= end) return;
  for (int y = std::max(top, 0); y < std::min(top + part.height, image.height); ++y) {
    const auto from = part.pixels.begin() + static_cast<std::ptrdiff_t>(offset(part, first - left, y - top));
    std::copy_n(from, static_cast<std::ptrdiff_t>(end - first) * kChannels,
                image.pixels.begin() + static_cast<std::ptrdiff_t>(offset(image, first, y)));
  }
}

/// The smallest box around the pixels that are not black; none where all are.
std::optional<PixelBox> selected_box(const Image& mask) {
  PixelBox box{.left = mask.width, .top = mask.height, .right = 0, .bottom = 0};
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (pillow_luma(&mask.pixels[offset(mask, x, y)]) == 0) continue;
      box.left = std::min(box.left, x);
      box.right = std::max(box.right, x + 1);
      box.top = std::min(box.top, y);
      box.bottom = y + 1;
    }
  }
  if (box.right == 0) return std::nullopt;
  return box;
}

/// Extends a range to both sides by `by` pixels in all, and shifts it into 0 to `size`.
void extend(int& begin, int& end, int by, int size) {
  begin -= by / 2;
  end += by - by / 2;
  if (end >= size) {
    begin -= end - size;
    end = size;
  }
  if (begin < 0) {
    end -= begin;
    begin = 0;
  }
  end = std::min(end, size);
}

struct Size {
  int width, height;
};

/// The size of an image with this shape that fits into a size, or that covers it.
Size scaled_to(const Image& image, const Size& size, bool covers) {
  const double ratio = static_cast<double>(size.width) / size.height;
  const double own = static_cast<double>(image.width) / image.height;
  const auto scaled = [](int a, int b, int by) { return std::max(static_cast<int>(std::int64_t{a} * b / by), 1); };
  const bool whole_width = covers ? ratio > own : ratio < own;
  const bool whole_height = covers ? ratio <= own : ratio >= own;
  return {.width = whole_width ? size.width : scaled(image.width, size.height, image.height),
          .height = whole_height ? size.height : scaled(image.height, size.width, image.width)};
}

std::uint32_t divide_by_255(std::uint32_t value) {
  value += 128;
  return ((value >> 8) + value) >> 8;
}

/// What remains of a value that Pillow stores multiplied with its opacity, 0 to 255.
std::uint32_t through_premultiplied(std::uint32_t value, std::uint32_t opacity) {
  const auto multiplied = divide_by_255(value * opacity);
  return opacity == 0 || opacity == 255 ? multiplied : std::min(255u, 255 * multiplied / opacity);
}

/// Pillow's alpha_composite of one value over an opaque one.
std::uint8_t composite(std::uint32_t over, std::uint32_t opacity, std::uint32_t under) {
  constexpr std::uint32_t kFractionBits = 7;
  const auto sum = (over * opacity + under * (255 - opacity) + 0x80u) << kFractionBits;
  return static_cast<std::uint8_t>((((sum >> 8) + sum) >> 8) >> kFractionBits);
}

}  // namespace

PixelBox mask_region(const Image& mask, int width, int height, int padding) {
  check_image(mask);
  check_size(width, height);
  if (padding < 0) {
    throw Error(ErrorCode::kInvalidArgument, concat("`padding_mask_crop` is ", padding, ", expected 0 or more"),
                "padding_mask_crop");
  }
  const auto selected = selected_box(mask);
  if (!selected) {
    throw Error(ErrorCode::kInvalidArgument, "`mask` selects no pixel, so there is no part to cut out", "mask");
  }
  padding = std::min(padding, std::max(mask.width, mask.height));  // more has no effect
  PixelBox box{.left = std::max(selected->left - padding, 0),
               .top = std::max(selected->top - padding, 0),
               .right = std::min(selected->right + padding, mask.width),
               .bottom = std::min(selected->bottom + padding, mask.height)};
  const double shape = static_cast<double>(width) / height;
  if (static_cast<double>(box.width()) / box.height() > shape) {
    extend(box.top, box.bottom, static_cast<int>(box.width() / shape - box.height()), mask.height);
  } else {
    extend(box.left, box.right, static_cast<int>(box.height() * shape - box.width()), mask.width);
  }
  return box;
}

Image crop(const Image& image, const PixelBox& box) {
  check_image(image);
  if (box.left < 0 || box.top < 0 || box.right > image.width || box.bottom > image.height) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("the box from ", box.left, ", ", box.top, " to ", box.right, ", ", box.bottom,
                       " is not within an image of ", image.width, " x ", image.height));
  }
  auto cropped = black_image(box.width(), box.height());
  paste(image, -box.left, -box.top, cropped);
  return cropped;
}

Image resize_and_fill(const Image& image, int width, int height) {
  check_image(image);
  auto filled = black_image(width, height);
  const auto size = scaled_to(image, {.width = width, .height = height}, /*covers=*/false);
  const auto resized = pillow_resize(image, size.width, size.height, PillowFilter::kLanczos);
  const int left = width / 2 - size.width / 2, top = height / 2 - size.height / 2;
  paste(resized, left, top, filled);
  // One margin at most: the image has the whole width or the whole height.
  if (size.width == width && top > 0) {
    paste(pillow_continue_edge(resized, ImageEdge::kTop, top), 0, 0, filled);
    paste(pillow_continue_edge(resized, ImageEdge::kBottom, top), 0, top + size.height, filled);
  } else if (left > 0) {
    paste(pillow_continue_edge(resized, ImageEdge::kLeft, left), 0, 0, filled);
    paste(pillow_continue_edge(resized, ImageEdge::kRight, left), left + size.width, 0, filled);
  }
  return filled;
}

Image place_in_box(const Image& drawn, const PixelBox& box, int width, int height) {
  check_image(drawn);
  auto part = black_image(box.width(), box.height());
  const auto size = scaled_to(drawn, {.width = box.width(), .height = box.height()}, /*covers=*/true);
  paste(pillow_resize(drawn, size.width, size.height, PillowFilter::kLanczos), part.width / 2 - size.width / 2,
        part.height / 2 - size.height / 2, part);
  auto placed = black_image(width, height);
  paste(part, box.left, box.top, placed);
  return placed;
}

Image overlay_kept_pixels(const Image& original, const Image& mask, const Image& drawn) {
  for (const auto* image : {&original, &mask, &drawn}) {
    check_image(*image);
    if (image->width == original.width && image->height == original.height) continue;
    throw Error(ErrorCode::kInvalidArgument,
                concat("an image of ", image->width, " x ", image->height, " cannot be combined with one of ",
                       original.width, " x ", original.height));
  }
  auto combined = drawn;
  for (std::size_t i = 0; i < combined.pixels.size(); i += kChannels) {
    const std::uint32_t opacity = 255u - pillow_luma(&mask.pixels[i]);
    if (opacity == 0) continue;
    for (std::size_t c = i; c < i + kChannels; ++c) {
      combined.pixels[c] = composite(through_premultiplied(original.pixels[c], opacity), opacity, combined.pixels[c]);
    }
  }
  return combined;
}

}  // namespace easel
