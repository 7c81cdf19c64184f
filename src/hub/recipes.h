// Models that can be pulled by a short name, with everything that they need.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace easel::hub {

/// One repository, or a part of one, that a recipe needs.
struct RecipePart {
  std::string source;                       ///< as parse_reference reads it
  std::string folder = {};                  ///< of the model where it goes; empty: the model's own
  std::optional<std::uint64_t> bytes = {};  ///< on the disk; none where it was not read from the hub
  std::vector<std::string> without = {};    ///< components whose weights another part brings
};

struct Recipe {
  std::string name;                        ///< what is pulled, e.g. "sd15" or "flux1-schnell:q4_k"
  std::string title;                       ///< for people to read
  std::string family;                      ///< as ModelDescription::family
  std::string licence;                     ///< as the hub abbreviates it
  std::optional<std::int64_t> parameters;  ///< of all weights; none where it is not known
  std::vector<RecipePart> parts;
  std::string manifest = {};  ///< the model's easel.json, without the licence; empty: an empty object
  bool verified = false;      ///< revisions and sizes were read from the hub by scripts/recipes-check

  /// The name of the model's folder: `name`, with a dash for the colon.
  std::string folder() const;

  /// Bytes on the disk; none where a part's size is not known.
  std::optional<std::uint64_t> bytes() const;
};

/// @param text  the contents of models/recipes.json
/// @throws Error(kCorruptData, kUnsupported)  names the recipe and what is wrong with it
std::vector<Recipe> parse_recipes(std::string_view text);

/// The recipes that are part of the program. Thread-safe.
const std::vector<Recipe>& recipes();

/// @return nullptr where there is no recipe of that name. Thread-safe.
const Recipe* find_recipe(std::string_view name);

}  // namespace easel::hub
