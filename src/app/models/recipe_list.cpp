#include "app/models/recipe_list.h"

#include <c10/core/ScalarType.h>

#include <cstdio>
#include <set>

#include "app/command_line/format.h"
#include "app/models/model_list.h"
#include "core/text.h"
#include "hub/recipes.h"
#include "tensor/free_memory.h"
#include "tensor/placement.h"

namespace easel {
namespace {

std::string describe_size(const hub::Recipe& recipe) {
  const auto bytes = recipe.bytes();
  return bytes ? format_bytes(static_cast<std::int64_t>(*bytes)) : "not known";
}

std::string describe_memory(const hub::Recipe& recipe) {
  if (!recipe.parameters) return "not known";
  return concat(format_bytes(*recipe.parameters * 4), " in float32, ", format_bytes(*recipe.parameters * 2),
                " in float16 or bfloat16, and more for the images");
}

std::string describe_fit(const hub::Recipe& recipe, const Placement& placement) {
  if (!recipe.parameters) return "not known";
  const auto needed = *recipe.parameters * static_cast<std::int64_t>(c10::elementSize(placement.dtype));
  const auto free = free_memory(placement.device);
  return concat(needed < free ? "yes" : "no", ": ", format_bytes(free), " are free on ", placement.device.str());
}

void print_recipe(const hub::Recipe& recipe, const Placement& placement) {
  std::printf("  %s%s\n", recipe.name.c_str(), recipe.verified ? "" : " (unverified)");
  std::printf("    model    %s\n", recipe.title.c_str());
  std::printf("    licence  %s\n", recipe.licence.c_str());
  std::printf("    disk     %s\n", describe_size(recipe).c_str());
  std::printf("    weights  %s\n", describe_memory(recipe).c_str());
  std::printf("    fits     %s\n", describe_fit(recipe, placement).c_str());
}

}  // namespace

void print_recipes(const ModelFlags& flags) {
  const auto placement = make_placement(list_devices(flags).front(), flags.dtype);
  std::set<std::string> printed;
  bool all_verified = true;
  for (const auto& first : hub::recipes()) {
    if (!printed.insert(first.family).second) continue;
    std::printf("%s\n", first.family.c_str());
    for (const auto& recipe : hub::recipes()) {
      if (recipe.family != first.family) continue;
      print_recipe(recipe, placement);
      all_verified = all_verified && recipe.verified;
    }
  }
  std::printf("\nTo download one: easel pull NAME\n");
  if (!all_verified) {
    std::printf("Of an unverified recipe, revision and size have not been compared with the hub.\n");
  }
}

}  // namespace easel
