#include "hub/recipes.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/config.h"
#include "core/text.h"
#include "easel/error.h"
#include "hub/reference.h"

#ifndef EASEL_RECIPES
#error "EASEL_RECIPES comes from the build"
#endif

// Embeds the file in the section of constants.
asm(".pushsection .rodata\n"
    ".global easel_recipes, easel_recipes_end\n"
    "easel_recipes:\n"
    ".incbin \"" EASEL_RECIPES
    "\"\n"
    "easel_recipes_end:\n"
    ".popsection\n");
extern "C" const char easel_recipes[], easel_recipes_end[];

namespace easel::hub {
namespace {

using nlohmann::json;

Error malformed_recipe(const std::string& where, const std::string& what) {
  return {ErrorCode::kCorruptData, concat(where, " ", what)};
}

std::string get_text(Config& object, const std::string& key) {
  auto text = object.get<std::string>(key);
  if (text.empty()) throw malformed_recipe(object.where(), concat("has an empty `", key, "`"));
  return text;
}

/// With a dash for its colon, a recipe's name is that of a folder, and never one that a repository could have.
std::string folder_of(std::string name) {
  const auto colon = name.find(':');
  if (colon != std::string::npos) name[colon] = '-';
  return name;
}

void check_name(const std::string& name) {
  if (is_safe_path(folder_of(name)) && name.find('/') == std::string::npos) return;
  throw malformed_recipe("models/recipes.json", concat("has a recipe with the name ", quote(name)));
}

RecipePart parse_part(const json& value, const std::string& where) {
  Config object(value, where);
  RecipePart part{.source = get_text(object, "source")};
  part.folder = object.get<std::string>("folder", "");
  if (const auto bytes = object.find<std::int64_t>("bytes")) {
    if (*bytes <= 0) throw malformed_recipe(where, "has a size that is not positive");
    part.bytes = static_cast<std::uint64_t>(*bytes);
  }
  part.without = object.get<std::vector<std::string>>("without", {});
  object.finish();
  parse_reference(part.source);
  if (!part.folder.empty() && !is_safe_path(part.folder)) throw malformed_recipe(where, "has a folder that climbs out");
  return part;
}

Recipe parse_recipe(const json& value) {
  Config object(value, "models/recipes.json");
  const auto name = get_text(object, "name");
  check_name(name);
  const auto where = concat("models/recipes.json: ", name);
  Recipe recipe{.name = name,
                .title = get_text(object, "title"),
                .family = get_text(object, "family"),
                .licence = get_text(object, "licence"),
                .parameters = object.find<std::int64_t>("parameters"),
                .parts = {}};
  const auto& parts = object.raw("parts");
  if (!parts.is_array() || parts.empty()) throw malformed_recipe(where, "has no parts");
  for (const auto& part : parts) recipe.parts.push_back(parse_part(part, where));
  const auto& manifest = object.raw("manifest");
  if (!manifest.is_null() && !manifest.is_object())
    throw malformed_recipe(where, "has a manifest that is not an object");
  if (manifest.is_object()) recipe.manifest = manifest.dump();
  recipe.verified = object.get<bool>("verified", false);
  object.finish();
  if (!recipe.verified) return recipe;
  for (const auto& part : recipe.parts) {
    const bool has_commit = parse_reference(part.source).revision.size() == 40;
    if (!has_commit || !part.bytes) throw malformed_recipe(where, "is verified, but a part has no commit or no size");
  }
  return recipe;
}

}  // namespace

std::string Recipe::folder() const {
  return folder_of(name);
}

std::optional<std::uint64_t> Recipe::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& part : parts) {
    if (!part.bytes) return std::nullopt;
    sum += *part.bytes;
  }
  return sum;
}

std::vector<Recipe> parse_recipes(std::string_view text) {
  const auto file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  Config object(file, "models/recipes.json");
  const auto& list = object.raw("recipes");
  if (!list.is_array()) throw malformed_recipe("models/recipes.json", "has no list of recipes");
  std::vector<Recipe> parsed;
  std::set<std::string> folders;
  for (const auto& value : list) {
    parsed.push_back(parse_recipe(value));
    if (!folders.insert(parsed.back().folder()).second)
      throw malformed_recipe("models/recipes.json", concat("has two recipes called ", parsed.back().name));
  }
  object.finish();
  return parsed;
}

const std::vector<Recipe>& recipes() {
  static const auto parsed =
      parse_recipes({easel_recipes, static_cast<std::size_t>(easel_recipes_end - easel_recipes)});
  return parsed;
}

const Recipe* find_recipe(std::string_view name) {
  const auto& all = recipes();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Recipe& recipe) { return recipe.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace easel::hub
