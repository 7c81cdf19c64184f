#include "app/command_line/hires_flags.h"

#include <algorithm>
#include <string>

#include "core/text.h"
#include "easel/error.h"
#include "easel/hires.h"

namespace easel {
namespace {

constexpr double kDefaultScale = 2;

const ServedModel* find_upscaler(const std::vector<ServedModel>& models, const std::string& id) {
  const auto found = std::find_if(models.begin(), models.end(), [&](const ServedModel& model) {
    return model.description.id == id && model.description.upscale_factor > 0;
  });
  return found == models.end() ? nullptr : &*found;
}

void set_size(const HiresFlags& flags, const ModelDescription& model, const GenerationRequest& request,
              HiresPass& hires) {
  if (flags.size) {
    hires.width = flags.size->first;
    hires.height = flags.size->second;
  } else if (flags.scale || hires.width == 0) {
    const auto times = [&](int edge) { return static_cast<int>(edge * flags.scale.value_or(kDefaultScale)); };
    hires.width = times(request.width.value_or(model.native_width));
    hires.height = times(request.height.value_or(model.native_height));
  }
}

}  // namespace

void add_second_pass(const HiresFlags& flags, const std::vector<ServedModel>& models, GenerationRequest& request) {
  if (flags == HiresFlags{}) return;
  auto hires = request.hires.value_or(HiresPass{});
  set_size(flags, models.front().description, request, hires);
  if (flags.steps) hires.num_inference_steps = flags.steps;
  if (flags.strength) hires.strength = *flags.strength;
  if (!flags.upscaler.empty()) hires.set_upscaler(flags.upscaler);
  if (!flags.upscaler.empty() && !hires.upscaler_model.empty() && !find_upscaler(models, hires.upscaler_model)) {
    std::string names;
    for (const auto& row : kHiresUpscalers) names += concat(row.name, ", ");
    throw Error(ErrorCode::kInvalidArgument,
                concat("--hires-upscaler is ", quote(flags.upscaler), "; expected one of: ", names,
                       "or the id of a model that upscales and is given with --model"));
  }
  request.hires = hires;
}

const ServedModel* upscaler_of(const GenerationRequest& request, const std::vector<ServedModel>& models) {
  if (!request.hires || request.hires->upscaler_model.empty()) return nullptr;
  const auto& id = request.hires->upscaler_model;
  if (const auto* model = find_upscaler(models, id)) return model;
  throw Error(ErrorCode::kNotFound, concat("the second pass needs the model ", quote(id),
                                           ", which upscales; give it with --model, as well as the one that draws"));
}

}  // namespace easel
