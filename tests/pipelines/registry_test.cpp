#include "pipelines/registry.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "weights/format/page_guard.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// A copy of the shipped model whose JSON files a test may change. Weights are linked, not copied.
class ModelCopy : public TemporaryFolder {
 public:
  ModelCopy() {
    for (const auto& entry : fs::recursive_directory_iterator(EASEL_EMOJI_MODEL)) {
      const auto target = path(fs::relative(entry.path(), EASEL_EMOJI_MODEL));
      if (entry.is_directory()) {
        fs::create_directories(target);
      } else if (entry.path().extension() == ".safetensors") {
        fs::create_symlink(entry.path(), target);
      } else {
        fs::copy_file(entry.path(), target);
      }
    }
  }
  void edit(const std::string& file, const nlohmann::json& changes) const {
    std::ifstream in(path(file));
    auto content = nlohmann::json::parse(in);
    content.merge_patch(changes);  // null removes
    in.close();
    std::ofstream(path(file)) << content.dump();
  }
  void set(const std::string& file, const std::string& key, const nlohmann::json& value) const {
    std::ifstream in(path(file));
    auto content = nlohmann::json::parse(in);
    content[key] = value;
    in.close();
    std::ofstream(path(file)) << content.dump();
  }
  void remove(const std::string& file) const { fs::remove(path(file)); }
  /// Makes the first number of a float16 weight file NaN.
  void poison(const std::string& file) const {
    std::ifstream in(path(file), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    bytes.replace(sizeof(header_bytes) + header_bytes, 2, std::string("\x00\x7e", 2));
    write(file, bytes);
  }
};

std::string load_error(const std::string& folder) {
  return message_of([&] { open_model("m", folder, {}).load({}, {}); });
}

TEST(OpenModel, LoadingReportsProgress) {
  std::vector<double> told;
  open_model("m", EASEL_EMOJI_MODEL, {}).load("cpu", [&](double part) { told.push_back(part); });
  ASSERT_GE(told.size(), 100u) << "once a tensor";
  EXPECT_LT(told.front(), 0.1);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_NEAR(told.back(), 1, 0.01) << "every weight was counted once";
}

TEST(OpenModel, DescribesTheShippedModelWithoutReadingIt) {
  const auto d = open_model("emoji", EASEL_EMOJI_MODEL, {}).description;
  EXPECT_EQ(d.family, "stable-diffusion");
  EXPECT_EQ(d.licence, "Apache-2.0");
  EXPECT_EQ(d.native_width, 128);
  EXPECT_TRUE(d.native_size_only);
  EXPECT_EQ(d.cell, 8);
  EXPECT_EQ(d.default_scheduler, "dpmpp_2m");
  EXPECT_EQ(d.default_steps, 15);
  EXPECT_EQ(d.default_guidance_scale, 3.0);
  EXPECT_GT(d.parameters, 14'000'000);
  EXPECT_LT(d.parameters, 17'000'000);
  EXPECT_EQ(d.weight_bytes, 2 * d.parameters);  // float16
  EXPECT_GT(d.memory_bytes, 4 * d.parameters);  // float32 in memory, and activations
  EXPECT_EQ(d.max_clip_skip, 3);
  const auto has_no_use = [&](const char* field) { return std::ranges::count(d.unused_fields, field) > 0; };
  for (const char* field : {"image_guidance_scale", "noise_level", "original_size", "negative_target_size",
                            "aesthetic_score", "denoising_end"}) {
    EXPECT_TRUE(has_no_use(field)) << field;
  }
  for (const char* field : {"strength", "guidance_rescale", "guidance_scale", "negative_prompt", "mask"}) {
    EXPECT_FALSE(has_no_use(field)) << field;
  }
  EXPECT_EQ(std::ranges::count(d.eta_schedulers, "ddim"), 1);
  EXPECT_EQ(std::ranges::count(d.eta_schedulers, "euler"), 0);
  EXPECT_FALSE(d.schedulers.empty());
}

TEST(OpenModel, WithoutAManifestTheConfigsDecide) {
  ModelCopy copy;
  copy.remove("easel.json");
  auto d = open_model("m", copy.path(), {}).description;
  EXPECT_EQ(d.native_width, 128);
  EXPECT_FALSE(d.native_size_only);
  EXPECT_EQ(d.default_scheduler, "ddim");
  EXPECT_EQ(d.default_steps, 50);
  // Releases before 0.9 wrote a wrong default into sample_size.
  copy.edit("unet/config.json", {{"_diffusers_version", "0.6.0.dev0"}});
  EXPECT_EQ(open_model("m", copy.path(), {}).description.native_width, 512);
}

TEST(OpenModel, UnsupportedFamiliesAndComponentsAreRejectedByName) {
  ModelCopy copy;
  for (const char* name : {"QwenImagePipeline", "StableDiffusionDepth2ImgPipeline"}) {
    copy.edit("model_index.json", {{"_class_name", name}});
    EXPECT_NE(load_error(copy.path()).find(name), std::string::npos);
  }
  EXPECT_NE(load_error(copy.path()).find("no depth estimator"), std::string::npos);
  copy.edit("model_index.json", {{"_class_name", "StableDiffusionPipeline"}});
  copy.set("model_index.json", "vae", {"diffusers", "AsymmetricAutoencoderKL"});
  EXPECT_NE(load_error(copy.path()).find("`vae` is a AsymmetricAutoencoderKL"), std::string::npos);
}

TEST(OpenModel, SafetyCheckerIsSkipped) {
  ModelCopy copy;
  copy.set("model_index.json", "safety_checker", {"stable_diffusion", "StableDiffusionSafetyChecker"});
  copy.set("model_index.json", "feature_extractor", {"transformers", "CLIPImageProcessor"});
  EXPECT_EQ(load_error(copy.path()), "no error");
}

TEST(OpenModel, UnsupportedConfigFieldsAreNamed) {
  for (const auto& [file, key, value] : std::vector<std::tuple<std::string, std::string, nlohmann::json>>{
           {"unet/config.json", "dual_cross_attention", true},
           {"unet/config.json", "brand_new_field", 3},
           {"unet/config.json", "act_fn", "tanh"},
           {"unet/config.json", "class_embed_type", "identity"},
           {"vae/config.json", "act_fn", "tanh"},
           {"text_encoder/config.json", "hidden_act", "tanh"}}) {
    ModelCopy copy;
    copy.set(file, key, value);
    const auto message = load_error(copy.path());
    EXPECT_NE(message.find(file), std::string::npos) << message;
    EXPECT_NE(message.find(key), std::string::npos) << message;
  }
}

TEST(OpenModel, TokenWithoutAnEmbeddingIsNamed) {
  ModelCopy copy;
  copy.set("text_encoder/config.json", "vocab_size", 1629);
  const auto message = load_error(copy.path());
  EXPECT_NE(message.find("the id of \"<|endoftext|>\" is 1629"), std::string::npos) << message;
}

TEST(OpenModel, DamagedWeightsNameFileAndTensor) {
  ModelCopy copy;
  copy.set("unet/config.json", "block_out_channels", {64, 128, 320});
  auto message = load_error(copy.path());
  EXPECT_NE(message.find("diffusion_pytorch_model.safetensors"), std::string::npos) << message;
  EXPECT_NE(message.find("expected"), std::string::npos) << message;

  ModelCopy other;
  other.write("unet/diffusion_pytorch_model.safetensors", "not a checkpoint");
  message = load_error(other.path());
  EXPECT_NE(message.find("diffusion_pytorch_model.safetensors"), std::string::npos) << message;
}

TEST(OpenModel, UnknownSchedulerIsRejectedOnOpen) {
  ModelCopy copy;
  copy.edit("scheduler/scheduler_config.json", {{"_class_name", "FlowMatchEulerDiscreteScheduler"}});
  EXPECT_NE(load_error(copy.path()).find("FlowMatchEulerDiscreteScheduler"), std::string::npos);
}

TEST(OpenModel, SchedulerErrorsNameTheFolder) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"beta_end", 1e300}, {"prediction_type", "x"}, {"_class_name", 3}}) {
    ModelCopy damaged;
    damaged.remove("easel.json");
    damaged.set("scheduler/scheduler_config.json", key, value);
    const auto message = load_error(damaged.path());
    EXPECT_TRUE(message.starts_with(damaged.path() + "/scheduler/scheduler_config.json")) << message;
    EXPECT_NE(message.find("`" + key + "`"), std::string::npos) << message;
  }
}

TEST(OpenModel, SchedulersThatRejectTheConfigAreNotListed) {
  ModelCopy copy;
  copy.edit("scheduler/scheduler_config.json", {{"prediction_type", "sample"}, {"use_karras_sigmas", true}});
  const auto d = open_model("m", copy.path(), {}).description;
  const auto lists = [](const std::vector<std::string>& names, const char* name) {
    return std::count(names.begin(), names.end(), name) > 0;
  };
  for (const char* name : {"ddim", "euler", "euler_karras", "dpmpp_2m_sde_karras"}) {
    EXPECT_TRUE(lists(d.schedulers, name)) << name;
  }
  // Without the prediction type; with two kinds of sigmas at once.
  for (const char* name : {"pndm", "euler_ancestral", "dpm2_ancestral", "euler_beta", "dpmpp_2m_exponential"}) {
    EXPECT_FALSE(lists(d.schedulers, name)) << name;
  }
  EXPECT_FALSE(lists(d.scheduler_aliases, "plms"));
  EXPECT_FALSE(lists(d.scheduler_aliases, "pndmscheduler"));
  EXPECT_TRUE(lists(d.scheduler_aliases, "ddimscheduler"));
}

TEST(OpenModel, NonStringVersionIsIgnored) {
  ModelCopy copy;
  copy.edit("unet/config.json", {{"_diffusers_version", 6}});
  EXPECT_EQ(load_error(copy.path()), "no error");
}

// The image that a model generates, or its error message.
std::string generation_error(Pipeline& pipeline) {
  GenerationRequest request;
  request.prompt = "a fox";
  request.num_inference_steps = 1;
  try {
    auto begun = pipeline.begin(request, {});
    begun->wait();
    const auto generations = begun->take();
    Generation* const generation = generations[0].get();
    while (!generation->finished_stepping()) {
      auto step = pipeline.step({&generation, 1}, {});
      step->wait();
      if (!step->finite()[0]) return "not finite";
    }
    auto finish = pipeline.finish({&generation, 1}, {});
    finish->wait();
    finish->take();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptData);
    return e.what();
  }
  return "no error";
}

TEST(LoadedModel, NonFiniteWeightsFailWithTheTensorsName) {
  for (const std::string file : {"unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
                                 "text_encoder/model.safetensors"}) {
    ModelCopy copy;
    copy.poison(file);
    const auto pipeline = open_model("m", copy.path(), {}).load({}, {});
    for (int i = 0; i < 2; ++i) {
      const auto message = generation_error(*pipeline);
      EXPECT_TRUE(message.starts_with(copy.path() + "/" + file + ": `")) << message;
      EXPECT_TRUE(message.ends_with("` holds infinities or NaN")) << message;
    }
  }
}

TEST(LoadedModel, FilesTruncatedOrReplacedWhileInUseGiveAnError) {
  install_truncation_guard();
  const std::string file = "vae/diffusion_pytorch_model.safetensors";
  ModelCopy copy;
  const auto link = fs::path(copy.path()) / file;
  const auto original = fs::canonical(link);
  fs::remove(link);
  fs::copy_file(original, link);
  const auto model = open_model("m", copy.path(), {});
  const auto pipeline = model.load({}, {});
  EXPECT_EQ(generation_error(*model.load({}, {})), "no error");
  fs::resize_file(link, 5000);
  EXPECT_TRUE(generation_error(*pipeline).starts_with(link.string() + " shrank from ")) << generation_error(*pipeline);
  fs::copy_file(original, link, fs::copy_options::overwrite_existing);
  EXPECT_TRUE(generation_error(*pipeline).starts_with(link.string() + " was written to "))
      << generation_error(*pipeline);
  EXPECT_EQ(generation_error(*model.load({}, {})), "no error") << "once it is loaded again";
}

TEST(OpenModel, UnreadableFilesGiveAnError) {
  for (const char* file : {"model_index.json", "easel.json", "unet/config.json", "scheduler/scheduler_config.json",
                           "vae/diffusion_pytorch_model.safetensors"}) {
    ModelCopy copy;
    const auto path = fs::path(copy.path()) / file;
    copy.remove(file);
    fs::create_symlink(path.filename(), path);
    EXPECT_EQ(load_error(copy.path()), path.string() + " cannot be opened: Too many levels of symbolic links");
    fs::remove(path);
    fs::create_directory(path);
    EXPECT_EQ(load_error(copy.path()), path.string() + " is a folder, expected a file");
    fs::remove(path);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    EXPECT_EQ(load_error(copy.path()), path.string() + " is not a file, expected a file");
  }
  EXPECT_NE(load_error("/dev/null/x").find("/dev/null/x"), std::string::npos);
}

TEST(FindCheckpoints, UnreadableEntriesAreListedSoOpeningReportsTheReason) {
  ModelCopy copy;
  const fs::path models = copy.path() + "/models";
  fs::create_directories(models / "loop");
  fs::create_directories(models / "none");
  fs::create_symlink("model_index.json", models / "loop" / "model_index.json");
  fs::create_symlink("itself", models / "itself");
  EXPECT_EQ(find_checkpoints(models.string()),
            (std::vector<std::string>{(models / "itself").string(), (models / "loop").string()}));
  EXPECT_NE(load_error((models / "itself").string()).find("symbolic links"), std::string::npos);
  EXPECT_EQ(checkpoint_name((models / "itself").string()), "itself");
}

TEST(FindCheckpoints, ListsFoldersWithACheckpoint) {
  const auto found = find_checkpoints(fs::path(EASEL_EMOJI_MODEL).parent_path().string());
  ASSERT_FALSE(found.empty());
  EXPECT_THROW(find_checkpoints("/nowhere"), Error);
}

}  // namespace
}  // namespace easel
