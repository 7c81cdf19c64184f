// Weighted and long prompts, and textual inversion, against prompt_rules.py and diffusers: see make_prompts.py.
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/temporary_folder.h"
#include "tokenizers/prompt_weights.h"
#include "tokenizers/token_chunks.h"
#include "weights/stores/component_store.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::begin;
using ::testing::HasSubstr;
using testing::load;
using testing::reference;
using testing::relative_error;

json table(const std::string& name) {
  std::ifstream file(reference(name));
  return json::parse(file);
}

TEST(Prompts, RandomWeightedPromptsParseAsTheReference) {
  const auto rows = table("parsed.json");
  ASSERT_EQ(rows.size(), 3000u);
  for (const auto& row : rows) {
    std::vector<WeightedText> expected;
    for (const auto& piece : row.at(1)) expected.push_back({.text = piece.at(0), .weight = piece.at(1)});
    ASSERT_EQ(parse_weighted_prompt(row.at(0).get<std::string>()), expected) << row.at(0);
  }
}

TEST(Prompts, RandomChunksMatchTheReference) {
  const auto tokenizer = load_clip_tokenizer(reference("open_clip/tokenizer"));
  const auto rows = table("chunks.json");
  ASSERT_EQ(rows.size(), 500u);
  const auto no_words = [](std::size_t) -> std::size_t { throw std::logic_error("no word was taught"); };
  for (const auto& row : rows) {
    const auto found = tokenize_weighted_prompt(*tokenizer, row.at(0).get<std::string>(), no_words);
    ASSERT_EQ(found.chunks.size(), row.at(1).size()) << row.at(0);
    for (std::size_t i = 0; i < found.chunks.size(); ++i) {
      ASSERT_EQ(found.chunks[i].input_ids, row.at(1).at(i).at(0).get<std::vector<std::int64_t>>()) << row.at(0);
      ASSERT_EQ(found.chunks[i].weights, row.at(1).at(i).at(1).get<std::vector<float>>()) << row.at(0);
    }
  }
}

const DenoiserConditioning& conditioning_of(const Generation& generation) {
  return static_cast<const DiffusionGeneration&>(generation).phase().conditioning;
}

constexpr double kEmbedsTolerance = 1e-5;

TEST(Prompts, EmbeddingsMatchTheReference) {
  double worst = 0;
  for (const auto& c : testing::cases()) {
    SCOPED_TRACE(c.at("name").get<std::string>());
    auto pipeline = load(c.at("folder"), at::kFloat, c.value("embeddings", ""));
    const auto found = begin(*pipeline, testing::request_of(c));
    const auto wanted = open_component(EASEL_REFERENCE_DIR, c.at("name").get<std::string>() + ".embeds");
    const auto compare = [&](const at::Tensor& tensor, const char* name) {
      ASSERT_EQ(tensor.sizes(), wanted->read(name).sizes());
      for (std::int64_t row = 0; row < 2; ++row) {
        const auto expected = wanted->read(name)[row];
        if (expected.abs().max().item<float>() == 0) {
          EXPECT_EQ(tensor[row].abs().max().item<float>(), 0);
          continue;
        }
        worst = std::max(worst, relative_error(tensor[row], expected));
        EXPECT_LT(relative_error(tensor[row], expected), kEmbedsTolerance) << name << " of row " << row;
      }
    };
    compare(conditioning_of(*found).prompt_embeds, "prompt_embeds");
    if (wanted->find("text_embeds") != nullptr) compare(conditioning_of(*found).text_embeds, "text_embeds");
  }
  std::printf("worst relative error of embeddings: %.1e\n", worst);
}

TEST(Prompts, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 16);
}

GenerationRequest request(const std::string& prompt, PromptSyntax syntax, const std::string& negative = "") {
  GenerationRequest r;
  r.prompt = prompt;
  r.negative_prompt = negative;
  r.prompt_syntax = syntax;
  r.seed = 1;
  r.num_inference_steps = 1;
  return r;
}

TEST(Prompts, PlainAndWeightedSyntaxAgreeOnPlainPrompts) {
  for (const char* folder : {"clip_l", "open_clip", "xl"}) {
    for (const std::string prompt : {"", "a fox: red, {blue}! on 1.2 <green>"}) {
      // Each pipeline has seen no prompt before, so nothing is remembered.
      const auto plain = begin(*load(folder), request(prompt, PromptSyntax::kPlain, "a dog, a cat"));
      const auto weighted = begin(*load(folder), request(prompt, PromptSyntax::kA1111, "a dog, a cat"));
      EXPECT_TRUE(at::equal(conditioning_of(*plain).prompt_embeds, conditioning_of(*weighted).prompt_embeds)) << folder;
      if (conditioning_of(*plain).text_embeds.defined()) {
        EXPECT_TRUE(at::equal(conditioning_of(*plain).text_embeds, conditioning_of(*weighted).text_embeds));
      }
    }
  }
}

TEST(Prompts, ResultReportsPromptTruncation) {
  std::string longer;
  for (int i = 0; i < 80; ++i) longer += "fox ";
  for (const char* folder : {"clip_l", "xl"}) {
    auto pipeline = load(folder);
    const auto cut = [&](GenerationRequest r) {
      auto generation = begin(*pipeline, r);
      testing::step(*pipeline, generation.get());
      Generation* row = generation.get();
      auto ticket = pipeline->finish({&row, 1}, {});
      ticket->wait();
      return ticket->take().at(0).prompt_cut;
    };
    EXPECT_FALSE(cut(request("a fox", PromptSyntax::kPlain, "a dog")));
    EXPECT_TRUE(cut(request(longer, PromptSyntax::kPlain)));
    EXPECT_TRUE(cut(request(longer, PromptSyntax::kPlain))) << "also when it is remembered";
    EXPECT_TRUE(cut(request("a fox", PromptSyntax::kPlain, longer)));
    EXPECT_FALSE(cut(request(longer, PromptSyntax::kA1111, longer)));
    auto unguided = request("a fox", PromptSyntax::kPlain, longer);
    unguided.guidance_scale = 1.0;
    EXPECT_FALSE(cut(unguided)) << "the negative prompt is not used";
  }
}

TEST(Prompts, ServerSyntaxIsTheDefaultForRequests) {
  PipelineOptions options;
  options.prompt_syntax = PromptSyntax::kA1111;
  const auto pipeline = open_model("m", reference("clip_l"), options).load({}, {});
  auto r = request("a (fox:1.5)", PromptSyntax::kA1111);
  const auto weighted = begin(*pipeline, r);
  r.prompt_syntax = std::nullopt;
  const auto unnamed = begin(*pipeline, r);
  r.prompt_syntax = PromptSyntax::kPlain;
  const auto plain = begin(*pipeline, r);
  EXPECT_TRUE(at::equal(conditioning_of(*weighted).prompt_embeds, conditioning_of(*unnamed).prompt_embeds));
  EXPECT_FALSE(at::equal(conditioning_of(*weighted).prompt_embeds, conditioning_of(*plain).prompt_embeds));
}

TEST(Prompts, BatchKeyDependsOnPromptLength) {
  const auto pipeline = load("clip_l");
  const auto short_row = begin(*pipeline, request("a fox", PromptSyntax::kA1111));
  const auto plain_row = begin(*pipeline, request("(a fox)", PromptSyntax::kPlain));
  const auto long_row = begin(*pipeline, request("a fox BREAK a cat", PromptSyntax::kA1111));
  EXPECT_EQ(pipeline->batch_key(*short_row), pipeline->batch_key(*plain_row));
  EXPECT_NE(pipeline->batch_key(*short_row), pipeline->batch_key(*long_row));
}

TEST(Prompts, TooManyChunksAreRejectedWithTheField) {
  const auto pipeline = load("clip_l");
  std::string breaks;
  for (int i = 0; i < 200; ++i) breaks += "BREAK ";
  const auto param_of = [&](const GenerationRequest& r) {
    try {
      pipeline->begin(r, {});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      return e.param();
    }
    return std::string("no error");
  };
  EXPECT_EQ(param_of(request(breaks, PromptSyntax::kA1111)), "prompt");
  EXPECT_EQ(param_of(request("a fox", PromptSyntax::kA1111, breaks)), "negative_prompt");
}

/// The message of the Error for a request. The field must be the prompt.
std::string rejection(Pipeline& pipeline, const std::string& prompt) {
  try {
    pipeline.begin(request(prompt, PromptSyntax::kPlain), {});
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(e.param(), "prompt");
    return e.what();
  }
  return "no error";
}

TEST(TextualInversion, EmbeddingOfAnotherModelIsRejectedWithItsFile) {
  TemporaryFolder folder;
  for (const char* from : {"words", "xl_words"}) {
    fs::copy(reference(from), folder.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  folder.write("broken.safetensors", "not a safetensors file");
  const auto sd = load("clip_l", at::kFloat, folder.path());
  const auto xl = load("xl", at::kFloat, folder.path());
  const auto wide = load("open_clip", at::kFloat, folder.path());
  EXPECT_EQ(rejection(*sd, "a mystyle fox"), "no error");
  EXPECT_THAT(rejection(*sd, "a twofold fox"), HasSubstr("twofold.safetensors"));
  EXPECT_EQ(rejection(*xl, "a twofold fox"), "no error");
  EXPECT_THAT(rejection(*xl, "a mystyle fox"), HasSubstr("mystyle.safetensors holds vectors of 48 numbers"));
  EXPECT_THAT(rejection(*wide, "bad-hands"), HasSubstr("bad-hands.pt holds vectors of 48 numbers"));
  EXPECT_THAT(rejection(*sd, "broken"), HasSubstr("broken.safetensors"));
  EXPECT_EQ(rejection(*sd, "a fox"), "no error");
}

TEST(TextualInversion, EmbeddingsMayBeAddedChangedAndRemovedAtRuntime) {
  TemporaryFolder folder;
  const auto pipeline = load("clip_l", at::kFloat, folder.path());
  const auto r = request("a mystyle fox", PromptSyntax::kPlain);
  const auto embeds = [&] { return conditioning_of(*begin(*pipeline, r)).prompt_embeds; };
  const auto without = embeds();
  fs::copy(reference("words/mystyle.safetensors"), folder.path());
  const auto with = embeds();
  EXPECT_FALSE(at::equal(with, without));
  EXPECT_TRUE(at::equal(with, embeds()));
  fs::copy(reference("words/Painter.safetensors"), folder.path("mystyle.safetensors"),
           fs::copy_options::overwrite_existing);
  const auto changed = embeds();
  EXPECT_FALSE(at::equal(changed, with));
  EXPECT_FALSE(at::equal(changed, without));
  fs::remove(folder.path("mystyle.safetensors"));
  EXPECT_TRUE(at::equal(embeds(), without));
}

}  // namespace
}  // namespace easel
