// Errors tell clients which file of a model is at fault, but not where it is.
#include "http/openai/responses/public_text.h"

#include <gtest/gtest.h>

namespace easel::http {
namespace {

TEST(PublicText, NamesFilesRelativeToTheirModel) {
  const std::string folder = "/srv/models/emoji";
  const std::pair<const char*, const char*> cases[] = {
      {"/srv/models/emoji/unet has no weights", "unet has no weights"},
      {"`/srv/models/emoji/unet/config.json`: bad; /srv/models/emoji/vae, too", "`unet/config.json`: bad; vae, too"},
      {"cannot open /srv/models/emoji", "cannot open emoji"},
      {"cannot open /srv/models/emoji.", "cannot open emoji."},
      {"/srv/models/emoji-2/unet", "/srv/models/emoji-2/unet"},
      {"/srv/models/emoji2", "/srv/models/emoji2"},
      {"no path here", "no path here"},
      {"", ""}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(without_folder(text, folder), expected);
  EXPECT_EQ(without_folder("a/b", ""), "a/b");
  EXPECT_EQ(without_folder("/a/b", "/"), "/a/b");
  EXPECT_EQ(without_folder("models/x/unet", "models/x/"), "unet");
  EXPECT_EQ(without_folder("x", "x"), "x");
  EXPECT_EQ(without_folder("/m/a.safetensors: truncated", "/m/a.safetensors"), "a.safetensors: truncated");
}

TEST(PublicText, LongestFolderCounts) {
  EXPECT_EQ(without_folders("/m/a/b/unet and /m/a/vae", {"/m/a", "/m/a/b"}), "unet and vae");
}

}  // namespace
}  // namespace easel::http
