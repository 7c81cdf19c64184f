#include "pipelines/families/memory_check.h"

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "easel/error.h"
#include "pipelines/images/canvas.h"

namespace easel {

void check_memory(const GenerationRequest& request, const ModelDescription& model, std::int64_t capacity) {
  // An upscaler generates large images in tiles.
  if (model.activations.empty() || model.upscale_factor != 0 || !request.width || !request.height) return;
  const auto& native = model.activations.front();
  const auto known = native.step_bytes.find(1);  // more rows can be stepped one after the other
  if (known == native.step_bytes.end()) return;
  const auto canvas = plan_canvas(model, *request.width, *request.height);
  const auto area = [](double width, double height) { return width * height; };
  const double bytes_per_pixel = static_cast<double>(known->second) / area(native.width, native.height);
  const double needed = bytes_per_pixel * area(canvas.generated_width, canvas.generated_height);
  if (needed <= static_cast<double>(capacity)) return;
  const auto edge = static_cast<std::int64_t>(std::sqrt(static_cast<double>(capacity) / bytes_per_pixel));
  const auto cell = std::max<std::int64_t>(model.cell, 1);
  const auto fitting = std::max(edge / cell * cell, cell);
  constexpr double kMebibyte = 1 << 20;
  throw Error(ErrorCode::kInvalidArgument,
              concat("`size` ", *request.width, "x", *request.height, " needs about ", std::ceil(needed / kMebibyte),
                     " MiB for a step, and this server can have ", capacity >> 20, " MiB; at most ", fitting, "x",
                     fitting, " fits"),
              "size");
}

}  // namespace easel
