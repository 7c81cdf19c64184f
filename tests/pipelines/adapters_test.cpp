// Adapters against diffusers with PEFT and against lycoris_lora: see make_adapters.py.
#include "adapters/adapters.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"
#include "support/operator_counter.h"
#include "support/temporary_folder.h"
#include "tensor/component_offloader.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

using testing::begin;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::reference;
using testing::relative_error;
using testing::step;

TEST(Adapters, LatentsAndPixelsMatchTheReference) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 34);
}

GenerationRequest request(std::vector<AdapterSelection> loras, const std::string& prompt = "a fox") {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = 3;
  r.num_inference_steps = 2;
  r.loras = std::move(loras);
  return r;
}

const AdapterSet* set_of(const Generation& generation) {
  return static_cast<const DiffusionGeneration&>(generation).adapters.get();
}

at::Tensor prompt_of(const Generation& generation) {
  return static_cast<const DiffusionGeneration&>(generation).phase().conditioning.prompt_embeds;
}

void expect_rejected(Pipeline& pipeline, const GenerationRequest& r, const std::string& says,
                     const std::string& param = "loras") {
  try {
    pipeline.begin(r, {});
    FAIL() << "was accepted: " << says;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
    EXPECT_EQ(e.param(), param);
    EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
  }
}

TEST(Adapters, DoNotChangeTheModel) {
  auto pipeline = load("sd");
  const auto before = generate_image(*pipeline, request({}));
  const auto adapted = generate_image(*pipeline, request({{"loha", 1.0}, {"dora", 0.5}}));
  EXPECT_NE(adapted.pixels, before.pixels);
  EXPECT_EQ(generate_image(*pipeline, request({})).pixels, before.pixels);
  EXPECT_EQ(generate_image(*pipeline, request({{"loha", 0.0}, {"dora", 0.0}})).pixels, before.pixels)
      << "a weight of 0 has no effect";
}

TEST(Adapters, InThePromptEqualThoseInTheRequest) {
  auto pipeline = load("sd");
  const auto listed = generate_image(*pipeline, request({{"peft", 0.7}, {"kohya", 1.0}}));
  EXPECT_EQ(generate_image(*pipeline, request({}, "a <lora:peft:0.7>fox<lora:kohya>")).pixels, listed.pixels);
  EXPECT_EQ(generate_image(*pipeline, request({{"peft", 0.7}}, "a fox<lora:kohya>")).pixels, listed.pixels);
}

TEST(Adapters, UseTheModelsDtype) {
  const auto latents_after_a_step = [](c10::ScalarType dtype, const std::string& name) {
    auto pipeline = load("sd", dtype);
    auto generation = begin(*pipeline, request({{name, 0.8}}));
    step(*pipeline, generation.get());
    return latents_of(*generation).to(at::kFloat);
  };
  constexpr double kHalfRounding = 0.02;  // of a UNet in float16, whose own steps are 1e-3
  for (const char* name : {"peft", "dora", "locon_tucker", "locon_dora", "loha", "lokr_both", "full"}) {
    const auto full = latents_after_a_step(at::kFloat, name), half = latents_after_a_step(at::kHalf, name);
    EXPECT_LT(relative_error(half, full), kHalfRounding) << name;
  }
}

TEST(Adapters, WholeDeltasAreComputedOnceForARequest) {
  auto pipeline = load("sd", at::kHalf);
  auto generation = begin(*pipeline, request({{"lokr", 0.8}}));
  const auto products_of_a_step = [&] {
    const testing::OperatorCounter products({"aten::kron"});
    step(*pipeline, generation.get());
    return products.count();
  };
  EXPECT_GT(products_of_a_step(), 0);
  EXPECT_EQ(products_of_a_step(), 0);
}

// Requests with different adapters never share a model call. Interleaved, each gives the same image as by itself.
TEST(Adapters, DifferentSetsNeverShareABatch) {
  auto pipeline = load("sd");
  const std::vector<GenerationRequest> requests{request({}), request({{"peft", 1.0}}), request({{"peft", 0.5}}),
                                                request({{"lokr", 1.0}, {"peft", 1.0}}),
                                                request({{"peft", 1.0}, {"lokr", 1.0}})};
  std::vector<std::unique_ptr<Generation>> mixed;
  for (const auto& r : requests) mixed.push_back(begin(*pipeline, r));
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(pipeline->batch_key(*mixed[i]), pipeline->batch_key(*mixed[j])) << i << " and " << j;
    }
  }
  for (int s = 0; s < 2; ++s) {
    for (const auto& generation : mixed) step(*pipeline, generation.get());
  }
  for (std::size_t i = 0; i < mixed.size(); ++i) {
    auto alone = begin(*pipeline, requests[i]);
    for (int s = 0; s < 2; ++s) step(*pipeline, alone.get());
    EXPECT_TRUE(at::equal(latents_of(*mixed[i]), latents_of(*alone))) << i;
  }
}

TEST(Adapters, EqualSetsShareABatch) {
  auto pipeline = load("xl");
  auto first = request({{"xl_original", 0.8}}), second = first;
  second.seed = 4;
  second.guidance_scale = 1.0;
  const std::vector<std::unique_ptr<Generation>> together = [&] {
    std::vector<std::unique_ptr<Generation>> both;
    both.push_back(begin(*pipeline, first));
    both.push_back(begin(*pipeline, second));
    return both;
  }();
  ASSERT_EQ(pipeline->batch_key(*together[0]), pipeline->batch_key(*together[1]));
  const std::vector<Generation*> rows{together[0].get(), together[1].get()};
  pipeline->step(rows, {})->wait();
  for (std::size_t i = 0; i < 2; ++i) {
    auto alone = begin(*pipeline, i == 0 ? first : second);
    step(*pipeline, alone.get());
    EXPECT_LT(relative_error(latents_of(*rows[i]), latents_of(*alone)), 1e-5) << i;
  }
}

// The encoder caches prompts; with other adapters of the text encoder, a prompt has other embeddings.
TEST(Adapters, TextEncoderAdaptersAreInThePromptCacheKey) {
  auto pipeline = load("sd");
  const auto plain = prompt_of(*begin(*pipeline, request({})));
  const auto full = prompt_of(*begin(*pipeline, request({{"kohya_text", 1.0}})));
  const auto half = prompt_of(*begin(*pipeline, request({{"kohya_text", 0.5}})));
  EXPECT_FALSE(at::equal(plain, full));
  EXPECT_FALSE(at::equal(half, full));
  EXPECT_TRUE(at::equal(plain, prompt_of(*begin(*pipeline, request({})))));
  EXPECT_TRUE(at::equal(full, prompt_of(*begin(*pipeline, request({{"kohya_text", 1.0}})))));
  EXPECT_TRUE(at::equal(plain, prompt_of(*begin(*pipeline, request({{"locon", 1.0}})))))
      << "the adapter changes only the UNet";
}

// With a text encoder that is built again for each prompt, and with models that take turns on the device.
TEST(Adapters, WorkWithReleasedAndOffloadedModels) {
  const auto uses = request({{"peft", 0.7}, {"kohya_text", 1.0}});
  const auto wanted = generate_image(*load("sd"), uses).pixels;
  Placement released, in_turn;
  released.release_text_encoders = true;
  in_turn.offloader = std::make_shared<ComponentOffloader>([](const at::Tensor& host) { return host.clone(); });
  for (const auto& placement : {released, in_turn}) {
    const PipelineOptions options{.placement = placement, .adapters = {.directory = reference("adapters")}};
    const auto pipeline = open_model("m", reference("sd"), options).load({}, {});
    EXPECT_EQ(generate_image(*pipeline, uses).pixels, wanted) << placement.release_text_encoders;
    EXPECT_NE(generate_image(*pipeline, request({{"peft", 0.7}})).pixels, wanted);
  }
}

TEST(Adapters, WeightsOfAnAdapterThatIsNamedTwiceAreAdded) {
  const auto pipeline = load("sd");
  const auto once = begin(*pipeline, request({{"peft", 1.5}, {"kohya", 0.5}}));
  const auto twice = begin(*pipeline, request({{"peft", 1.0}, {"kohya", 0.5}}, "a fox <lora:peft:0.5>"));
  EXPECT_EQ(set_of(*twice)->key(), set_of(*once)->key());
  EXPECT_EQ(set_of(*begin(*pipeline, request({{"peft", 1.0}, {"peft", -1.0}}))), nullptr);
}

TEST(Adapters, UnknownNamesAreRejectedBeforeARequestIsQueued) {
  PipelineOptions options;
  options.adapters.directory = reference("adapters");
  const auto model = open_model("m", reference("sd"), options);
  EXPECT_NO_THROW(model.check(request({{"peft", 1.0}}, "a fox <lora:kohya:1>")));
  const auto rejection = [&](const GenerationRequest& asked) { return message_of([&] { model.check(asked); }); };
  EXPECT_THAT(rejection(request({{"nobody", 1.0}})), ::testing::HasSubstr("there is no adapter `nobody`"));
  EXPECT_THAT(rejection(request({}, "a fox <lora:nobody:1>")), ::testing::HasSubstr("there is no adapter `nobody`"));
  EXPECT_THAT(rejection(request({{"peft", 1e9}})), ::testing::HasSubstr("expected -100 to 100"));
}

TEST(Adapters, UnusableAdaptersAreRejectedByName) {
  auto pipeline = load("sd");
  expect_rejected(*pipeline, request({{"nobody", 1.0}}), "`nobody`; there are: diffusers, dora, full");
  expect_rejected(*pipeline, request({{"nobody", 0.0}}), "`nobody`");
  expect_rejected(*pipeline, request({{"../sd/unet/diffusion_pytorch_model", 1.0}}), "there is no adapter");
  expect_rejected(*pipeline, request({{reference("adapters/peft"), 1.0}}), "there is no adapter");
  expect_rejected(*pipeline, request({{"", 1.0}}), "there is no adapter");
  expect_rejected(*pipeline, request({{"peft", std::numeric_limits<double>::infinity()}}), "expected -100 to 100");
  expect_rejected(*pipeline, request({{"peft", -1e30}}), "is -1e+30, expected");
  expect_rejected(*pipeline, request({{"peft", 1.0, 101.0}}), "is 101, expected");
  expect_rejected(*pipeline, request({}, "a fox <lora:peft:nan>"), "expected -100 to 100");
  expect_rejected(*pipeline, request(std::vector<AdapterSelection>(33, {"peft", 1.0})), "33 adapters");
  expect_rejected(*pipeline, request({}, "a fox <lora:peft:strong>"), "`strong` is not a number", "prompt");
  expect_rejected(*pipeline, request({{"xl_peft", 1.0}}), "xl_peft.safetensors: `text_encoder_2.");
  expect_rejected(*load("xl"), request({{"peft", 1.0}}), "peft.safetensors: `");
  const auto without = open_model("m", reference("sd"), {}).load({}, {});
  expect_rejected(*without, request({{"peft", 1.0}}), "--lora-dir");
}

class AdapterFolder : public TemporaryFolder {
 public:
  void put(const std::string& source, const std::string& name) const {
    fs::copy_file(reference("adapters/" + source + ".safetensors"), path(name + ".safetensors"),
                  fs::copy_options::overwrite_existing);
  }
  /// @param embeddings  folder of textual inversions; empty: none
  std::unique_ptr<Pipeline> load(const std::string& embeddings = "") const {
    PipelineOptions options;
    options.adapters.directory = path();
    if (!embeddings.empty()) options.embeddings = std::make_shared<EmbeddingFolder>(embeddings);
    return open_model("m", reference("sd"), options).load({}, {});
  }
};

// Different spellings of one adapter's name refer to one file, which is read once.
TEST(Adapters, FoundInSubfoldersByPathSuffix) {
  const AdapterFolder folder;
  fs::create_directory(fs::path(folder.path()) / "inside");
  folder.put("kohya", "inside/style");
  const auto pipeline = folder.load();
  const auto by_path = begin(*pipeline, request({{"inside/style", 1.0}}));
  EXPECT_EQ(set_of(*by_path)->key(), set_of(*begin(*pipeline, request({{"style", 1.0}})))->key());
  EXPECT_EQ(set_of(*by_path)->key(),
            set_of(*begin(*pipeline, request({{"inside/style", 1.0}, {"style", 0.0}})))->key());
}

TEST(Adapters, ChangedAndNewFilesAreLoaded) {
  const AdapterFolder folder;
  folder.put("kohya", "style");
  const auto pipeline = folder.load();
  const auto before = begin(*pipeline, request({{"style", 1.0}}));
  expect_rejected(*pipeline, request({{"late", 1.0}}), "there are: style");
  folder.put("loha", "style");
  folder.put("kohya", "late");
  const auto after = begin(*pipeline, request({{"style", 1.0}}));
  const auto late = begin(*pipeline, request({{"late", 1.0}}));
  EXPECT_NE(set_of(*before)->key(), set_of(*after)->key());
  for (const auto* generation : {&before, &after, &late}) step(*pipeline, generation->get());
  EXPECT_TRUE(at::equal(latents_of(*before), latents_of(*late))) << "an image keeps what it began with";
  EXPECT_FALSE(at::equal(latents_of(*before), latents_of(*after)));
}

// As OneTrainer saves an adapter together with the words that were trained with it.
TEST(Adapters, BundledWordsArePartOfThePromptWhileTheAdapterIsUsed) {
  const SafetensorsFile file(reference("adapters/kohya.safetensors"));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : file.names()) tensors[name] = file.read(name);
  const auto vectors = at::randn({2, 48});
  const AdapterFolder folder;
  folder.put("kohya", "plain");
  tensors["bundle_emb.mystyle.clip_l"] = vectors;
  write_safetensors(folder.path("bundled.safetensors"), tensors, {});
  TemporaryFolder embeddings;
  write_safetensors(embeddings.path("mystyle.safetensors"), {{"emb_params", vectors}}, {});

  const std::string prompt = "a fox in mystyle";
  const auto pipeline = folder.load();
  const auto bundled = prompt_of(*begin(*pipeline, request({{"bundled", 1.0}}, prompt)));
  const auto plain = prompt_of(*begin(*pipeline, request({{"plain", 1.0}}, prompt)));
  EXPECT_FALSE(at::equal(bundled, plain));
  EXPECT_TRUE(at::equal(prompt_of(*begin(*pipeline, request({{"bundled", 1.0}}, prompt))), bundled));
  const auto with_folder = folder.load(embeddings.path());
  EXPECT_TRUE(at::equal(prompt_of(*begin(*with_folder, request({{"plain", 1.0}}, prompt))), bundled))
      << "as if the word were a file of its own";

  write_safetensors(embeddings.path("mystyle.safetensors"), {{"emb_params", vectors + 1}}, {});
  EXPECT_TRUE(at::equal(prompt_of(*begin(*with_folder, request({{"bundled", 1.0}}, prompt))), bundled))
      << "the adapter's own word counts";
  tensors["bundle_emb.mystyle.clip_l"] = at::randn({2, 40});
  write_safetensors(folder.path("wide.safetensors"), tensors, {});
  expect_rejected(*pipeline, request({{"wide", 1.0}}, prompt), "wide.safetensors holds vectors of 40 numbers",
                  "prompt");
}

TEST(Adapters, ReplacedFileOfSameSizeAndMtimeIsReloaded) {
  const AdapterFolder folder;
  for (const char* name : {"style", "other"}) folder.put("kohya", name);
  const auto path_of = [&](const std::string& name) { return folder.path(name + ".safetensors"); };
  const auto pipeline = folder.load();
  const auto before = begin(*pipeline, request({{"style", 1.0}}));
  fs::last_write_time(path_of("other"), fs::last_write_time(path_of("style")));
  fs::rename(path_of("other"), path_of("style"));
  EXPECT_NE(set_of(*before)->key(), set_of(*begin(*pipeline, request({{"style", 1.0}})))->key());
}

TEST(Adapters, LeastRecentlyUsedIsEvicted) {
  auto table = std::make_shared<LayerTable>();
  table->component = Component::kTextEncoder;
  for (int i = 0; i < 3; ++i) {
    const auto layer = "encoder.layers." + std::to_string(i);
    for (const char* name : {".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj", ".self_attn.out_proj"}) {
      table->add(layer + name, {48, 48});
    }
    table->add(layer + ".mlp.fc1", {96, 48});
    table->add(layer + ".mlp.fc2", {48, 96});
  }
  const AdapterFolder folder;
  for (const char* name : {"a", "b", "c"}) folder.put("kohya_text", name);
  constexpr std::size_t kBytes = 4 * 4 * 3 * (4 * (48 + 48) + 2 * (96 + 48));  // rank 4, float32, three layers
  const AdapterOptions options{.directory = folder.path(), .memory_bytes = 2 * kBytes};
  Adapters adapters(options, {table}, {});
  const auto resolve = [&](const std::string& name) { return adapters.resolve({{name, 1.0}})->key(); };
  const auto a = resolve("a"), b = resolve("b");
  EXPECT_EQ(adapters.loaded_bytes(), 2 * kBytes);
  EXPECT_EQ(resolve("a"), a);
  EXPECT_EQ(adapters.loads(), 2u);
  resolve("c");
  EXPECT_EQ(adapters.loaded_bytes(), 2 * kBytes);
  EXPECT_EQ(resolve("a"), a) << "was used later than b";
  EXPECT_EQ(adapters.loads(), 3u);
  EXPECT_NE(resolve("b"), b) << "keys of what was read anew are new";
  EXPECT_EQ(adapters.loads(), 4u);
  EXPECT_EQ(adapters.resolve({}), nullptr);
}

}  // namespace
}  // namespace easel
