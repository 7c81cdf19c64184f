#include "hub/recipes.h"

#include <gtest/gtest.h>

#include "easel/error.h"

namespace easel::hub {
namespace {

std::string with_recipe(const std::string& recipe) {
  return R"({"recipes": [)" + recipe + "]}";
}

const std::string kGood =
    R"({"name": "a", "title": "A", "family": "f", "licence": "mit", "parts": [{"source": "org/a"}]})";

std::string error_of(const std::string& text) {
  try {
    parse_recipes(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Recipes, TheProgramHasSomeAndEachNamesItsLicence) {
  ASSERT_FALSE(recipes().empty());
  for (const auto& recipe : recipes()) {
    EXPECT_FALSE(recipe.licence.empty()) << recipe.name;
    EXPECT_EQ(find_recipe(recipe.name), &recipe);
  }
  EXPECT_EQ(find_recipe("no-such-recipe"), nullptr);
}

TEST(Recipes, ReadsPartsManifestAndSizes) {
  const auto parsed = parse_recipes(with_recipe(
      R"({"name": "a", "title": "A", "family": "f", "licence": "mit", "parameters": 7, "manifest": {"vae": "v"},
          "parts": [{"source": "org/a", "bytes": 3}, {"source": "org/b:v.safetensors", "folder": "v", "bytes": 4}]})"));
  ASSERT_EQ(parsed.size(), 1u);
  EXPECT_EQ(parsed[0].parts[1].folder, "v");
  EXPECT_EQ(parsed[0].bytes(), 7u);
  EXPECT_EQ(parsed[0].manifest, R"({"vae":"v"})");
  EXPECT_FALSE(parsed[0].verified);
}

TEST(Recipes, VariantsHaveFoldersOfTheirOwn) {
  const auto parsed = parse_recipes(with_recipe(
      R"({"name": "a:q4", "title": "A", "family": "f", "licence": "mit", "manifest": {"components": {"t": "t/a.gguf"}},
          "parts": [{"source": "org/a", "without": ["t"]}, {"source": "org/b:a.gguf", "folder": "t"}]})"));
  EXPECT_EQ(parsed[0].folder(), "a-q4");
  EXPECT_EQ(parsed[0].parts[0].without, std::vector<std::string>{"t"});
  EXPECT_TRUE(parsed[0].parts[1].without.empty());
  auto same = kGood;
  same.replace(same.find("\"a\""), 3, "\"a-q4\"");
  auto variant = kGood;
  variant.replace(variant.find("\"a\""), 3, "\"a:q4\"");
  EXPECT_NE(error_of(with_recipe(same + "," + variant)).find("two recipes called a:q4"), std::string::npos);
}

TEST(Recipes, ASizeIsKnownOnlyWhereThatOfEachPartIs) {
  EXPECT_EQ(parse_recipes(with_recipe(kGood))[0].bytes(), std::nullopt);
}

TEST(Recipes, NamesWhatIsWrong) {
  EXPECT_NE(error_of("{").find("not a JSON object"), std::string::npos);
  EXPECT_NE(error_of("{}").find("no list"), std::string::npos);
  EXPECT_NE(error_of(with_recipe(kGood + "," + kGood)).find("two recipes called a"), std::string::npos);
  const auto without = [](const std::string& key) {
    auto text = kGood;
    return text.replace(text.find(key), key.size(), "_" + key);
  };
  for (const char* key : {"name", "title", "family", "licence"}) {
    EXPECT_NE(error_of(with_recipe(without(key))).find(key), std::string::npos) << key;
  }
  EXPECT_NE(error_of(with_recipe(without("parts"))).find("no parts"), std::string::npos);
}

TEST(Recipes, RefusesFoldersAndNamesThatClimbOut) {
  for (const char* folder : {"..", "/etc", "a/../b", ".hidden"}) {
    const auto text = R"({"name": "a", "title": "A", "family": "f", "licence": "mit",
                          "parts": [{"source": "org/a", "folder": ")" +
                      std::string(folder) + R"("}]})";
    EXPECT_NE(error_of(with_recipe(text)).find("climbs out"), std::string::npos) << folder;
  }
  auto named = kGood;
  named.replace(named.find("\"a\""), 3, "\"../a\"");
  EXPECT_NE(error_of(with_recipe(named)).find("../a"), std::string::npos);
}

TEST(Recipes, OnlyThoseWithCommitsAndSizesAreVerified) {
  auto claimed = kGood;
  claimed.insert(claimed.size() - 1, R"(, "verified": true)");
  EXPECT_NE(error_of(with_recipe(claimed)).find("is verified, but"), std::string::npos);
  const std::string commit(40, 'a');
  auto pinned = claimed;
  pinned.replace(pinned.find("\"org/a\""), 7, "\"org/a@" + commit + "\", \"bytes\": 5");
  EXPECT_TRUE(parse_recipes(with_recipe(pinned))[0].verified);
}

}  // namespace
}  // namespace easel::hub
