// Single-file checkpoints against diffusers' from_single_file: see make_single_file.py.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "checkpoints/checkpoint.h"
#include "models/unet/unet_2d_condition.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/message_of.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/loading/weights.h"
#include "weights/stores/key_mapping.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::generate_image;
using ::testing::HasSubstr;
using testing::load;
using testing::reference;

json read_json(const std::string& path) {
  std::ifstream file(path);
  return json::parse(file);
}

/// The components of a file that are models.
std::vector<Component> models_of(const Checkpoint& checkpoint) {
  std::vector<Component> models;
  for (const auto& [component, class_name] : checkpoint.components) {
    const bool tokenizer = component_name(component).starts_with("tokenizer");
    if (!tokenizer && !is_scheduler(component)) models.push_back(component);
  }
  return models;
}

class SingleFile : public ::testing::TestWithParam<const char*> {};

TEST_P(SingleFile, EveryTensorMatchesDiffusers) {
  const auto checkpoint = Checkpoint::open(reference(GetParam()) + ".safetensors");
  for (const auto& model : models_of(checkpoint)) {
    SCOPED_TRACE(component_name(model));
    const auto found = with_clip_text_names(checkpoint.source->weights(model));
    const auto wanted = with_clip_text_names(std::make_shared<SafetensorsFile>(
        reference(std::string("tensors/") + GetParam() + "/" + component_name(model) + ".safetensors")));
    EXPECT_THAT(found->names(), ::testing::UnorderedElementsAreArray(wanted->names()));
    for (const auto& name : wanted->names()) {
      const auto tensor = found->read(name).to(at::kFloat);
      EXPECT_TRUE(at::equal(tensor, wanted->read(name))) << name;
      EXPECT_TRUE(tensor.is_contiguous()) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, SingleFile,
                         ::testing::Values("sd1", "tiny", "odd", "sd1_half", "sd1_brain", "sd1_inpainting", "sd2_v",
                                           "sd2_turbo", "x4", "xl", "ssd", "refiner"));

TEST(SingleFile, ImagesMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 15);
}

TEST(SingleFile, FamilyIsDetectedFromNamesAndShapes) {
  const auto class_of = [](const std::string& name) {
    return Checkpoint::open(reference(name) + ".safetensors").class_name;
  };
  EXPECT_EQ(class_of("sd1"), "StableDiffusionPipeline");
  EXPECT_EQ(class_of("sd1_inpainting"), "StableDiffusionInpaintPipeline");
  EXPECT_EQ(class_of("pix2pix"), "StableDiffusionInstructPix2PixPipeline");
  EXPECT_EQ(class_of("x4"), "StableDiffusionUpscalePipeline");
  EXPECT_EQ(class_of("xl"), "StableDiffusionXLPipeline");
  EXPECT_EQ(class_of("refiner"), "StableDiffusionXLImg2ImgPipeline");
}

TEST(SingleFile, DescriptionComesFromTheHeader) {
  const auto d = open_model("m", reference("xl.safetensors"), {}).description;
  EXPECT_EQ(d.family, "stable-diffusion-xl");
  EXPECT_EQ(d.native_width, 1024);
  EXPECT_EQ(d.default_scheduler, "euler");
  EXPECT_EQ(d.folder, reference("xl.safetensors"));
  EXPECT_EQ(d.weight_bytes, 4 * d.parameters);
  const auto half = open_model("m", reference("sd1_half.safetensors"), {}).description;
  EXPECT_EQ(half.weight_bytes, 2 * half.parameters);
  EXPECT_TRUE(open_model("m", reference("sd1_inpainting.safetensors"), {}).description.needs_mask);
}

TEST(SingleFile, MissingComponentsAreReportedAndFilledByTheManifest) {
  EXPECT_THAT(message_of([] { open_model("m", reference("unet_alone.safetensors"), {}); }), HasSubstr("text encoder"));
  EXPECT_THAT(message_of([] { open_model("m", reference("odd_alone.safetensors"), {}); }), HasSubstr("`configs`"));
  EXPECT_THAT(message_of([] { open_model("m", reference("vae_alone.safetensors"), {}); }),
              HasSubstr("an autoencoder and no model"));
  EXPECT_THAT(message_of([] { open_model("m", reference("text.safetensors"), {}); }),
              HasSubstr("a text encoder and no"));
  GenerationRequest r;
  r.prompt = "a fox";
  r.num_inference_steps = 2;
  r.width = r.height = 64;
  EXPECT_EQ(generate_image(*load("parts/with_manifest.safetensors"), r).pixels,
            generate_image(*load("sd1.safetensors"), r).pixels);
}

TEST(SingleFile, PathsInAManifestAreUsedOrAreErrors) {
  const auto sd1 = reference("sd1.safetensors");
  const auto with = [&](const std::string& manifest) {
    fs::remove(reference("named.safetensors"));
    fs::create_symlink(sd1, reference("named.safetensors"));
    std::ofstream(reference("named.easel.json")) << manifest;
    return message_of([] {
      const auto checkpoint = Checkpoint::open(reference("named.safetensors"));
      throw Error(ErrorCode::kInternal, "read from " + checkpoint.source->weights(Component::kTextEncoder)->where());
    });
  };
  EXPECT_THAT(with(R"({"configs": "nowhere"})"), HasSubstr("nowhere, does not exist"));
  EXPECT_THAT(with(R"({"text_encoder_2": "text.safetensors"})"), HasSubstr("have no `text_encoder_2`"));
  EXPECT_THAT(with(R"({"text_encoder": "nowhere.safetensors"})"), HasSubstr("nowhere.safetensors is missing"));
  EXPECT_THAT(with(R"({"text_encoder": "text.safetensors"})"), HasSubstr("read from " + reference("text.safetensors")));
  EXPECT_THAT(with("{}"), HasSubstr("read from " + reference("named.safetensors")));
  with(R"({"configs": "configs/sd1", "prediction_type": "v_prediction"})");
  const auto checkpoint = Checkpoint::open(reference("named.safetensors"));
  EXPECT_EQ(checkpoint.source->config(Component::kScheduler).object()["prediction_type"], "v_prediction");
}

TEST(SingleFile, WrongKindOfAutoencoderIsRejectedByName) {
  const auto rejection = [](const std::string& vae) {
    return message_of([&] { open_model("m", reference("sd1.safetensors"), {}, {.vae = reference(vae)}); });
  };
  fs::create_directories(reference("no_vae/asymmetric"));
  std::ofstream(reference("no_vae/asymmetric/config.json")) << R"({"_class_name": "AsymmetricAutoencoderKL"})";
  std::ofstream(reference("no_vae/vae.pt")) << "PK\3\4 and so on, as torch.save writes it";
  EXPECT_THAT(rejection("no_vae/asymmetric"), HasSubstr("`_class_name` is \"AsymmetricAutoencoderKL\""));
  EXPECT_THAT(rejection("no_vae/vae.pt"), HasSubstr("`easel convert`"));
}

TEST(SingleFile, AutoencoderMayComeFromACheckpointFolder) {
  fs::create_directories(reference("whole"));
  fs::remove(reference("whole/vae"));
  fs::create_directory_symlink(reference("other_vae"), reference("whole/vae"));
  const auto checkpoint = Checkpoint::open(reference("sd1.safetensors"), {.vae = reference("whole")});
  EXPECT_EQ(checkpoint.source->config(Component::kVae).object()["scaling_factor"], 0.3);
  EXPECT_THAT(checkpoint.source->weights(Component::kVae)->where(), HasSubstr("whole/vae"));
}

TEST(SingleFile, AutoencoderShapeMismatchNamesFileAndTensor) {
  const PipelineOptions options{.placement = {.device = at::kCPU, .dtype = at::kFloat}};
  GenerationRequest r;
  r.prompt = "a fox";
  r.num_inference_steps = 2;
  r.width = r.height = 64;
  auto by_flag = open_model("m", reference("sd1.safetensors"), options, {.vae = reference("other_vae")}).load({}, {});
  EXPECT_EQ(generate_image(*by_flag, r).pixels, generate_image(*load("vae_folder.safetensors"), r).pixels);

  fs::create_directories(reference("damaged/vae"));
  fs::copy_file(reference("vae_in_original/vae.safetensors"), reference("damaged/vae/vae.safetensors"),
                fs::copy_options::overwrite_existing);
  auto config = read_json(reference("other_vae/config.json"));
  config["block_out_channels"] = {32, 32, 64, 96};
  std::ofstream(reference("damaged/vae/config.json")) << config;
  const auto message = message_of([&] {
    open_model("m", reference("sd1.safetensors"), options, {.vae = reference("damaged/vae/vae.safetensors")})
        .load({}, {});
  });
  EXPECT_THAT(message, HasSubstr("damaged/vae/vae.safetensors"));
  EXPECT_THAT(message, HasSubstr("`encoder.mid.block_1.conv1.weight` is [64, 64, 3, 3]"));
  EXPECT_THAT(
      message_of([&] { open_model("m", reference("sd1.safetensors"), options, {.vae = reference("nowhere")}); }),
      HasSubstr("nowhere does not exist"));
}

/// A copy of a reference file whose tensors a test may change.
class EditedFile {
 public:
  explicit EditedFile(const std::string& name) {
    const SafetensorsFile file(reference(name + ".safetensors"));
    for (const auto& tensor : file.names()) tensors[tensor] = file.read(tensor);
    fs::create_directories(reference("edited"));
  }
  std::string write(const SafetensorsMetadata& metadata = {{"format", "pt"}}) const {
    write_safetensors(reference("edited/model.safetensors"), tensors, metadata);
    return reference("edited/model.safetensors");
  }
  json scheduler(const SafetensorsMetadata& metadata = {{"format", "pt"}}) const {
    return Checkpoint::open(write(metadata)).source->config(Component::kScheduler).object();
  }

  std::map<std::string, at::Tensor> tensors;
};

TEST(SingleFile, AutoencoderInEightBitsGivesTheImageOfItsValues) {
  GenerationRequest r;
  r.prompt = "a fox";
  r.num_inference_steps = 2;
  r.width = r.height = 64;
  for (const auto type : {at::ScalarType::Float8_e4m3fn, at::ScalarType::Float8_e5m2}) {
    const auto draw = [&](at::ScalarType stored, WeightStorage storage) {
      EditedFile vae("vae_alone");
      for (auto& [name, tensor] : vae.tensors) tensor = tensor.to(type).to(stored);
      const PipelineOptions options{.placement = {.device = at::kCPU, .dtype = at::kFloat, .storage = storage}};
      const auto model = open_model("m", reference("sd1.safetensors"), options, {.vae = vae.write()});
      return generate_image(*model.load({}, {}), r).pixels;
    };
    // A kernel may be laid out in another way when it is converted, which changes the order of sums.
    const auto values = draw(at::kFloat, WeightStorage::kCompute);
    for (const auto storage : {WeightStorage::kCompute, WeightStorage::kStored}) {
      const auto image = draw(type, storage);
      ASSERT_EQ(image.size(), values.size());
      for (std::size_t i = 0; i < image.size(); ++i) EXPECT_NEAR(image[i], values[i], 1) << i;
    }
  }
}

/// Scales are powers of two, so that the scaled numbers are those of the file.
TEST(SingleFile, ScaledWeightsGiveTheImageOfTheirValues) {
  GenerationRequest r;
  r.prompt = "a fox";
  r.num_inference_steps = 2;
  r.width = r.height = 64;
  EditedFile plain("sd1"), scaled("sd1");
  for (const auto& [name, tensor] : plain.tensors) {
    if (!name.starts_with("model.diffusion_model.") || !name.ends_with(".weight") || tensor.dim() < 2) continue;
    const auto scale = at::full({tensor.size(0)}, 0.125F);
    std::vector<std::int64_t> by_row(static_cast<std::size_t>(tensor.dim()), 1);
    by_row[0] = tensor.size(0);
    const auto stored = (tensor / scale.view(by_row)).to(at::ScalarType::Float8_e4m3fn);
    plain.tensors[name] = stored.to(at::kFloat) * scale.view(by_row);
    scaled.tensors[name] = stored;
    scaled.tensors[name.substr(0, name.size() - 6) + "weight_scale"] = scale;
  }
  const auto draw = [&](const EditedFile& file, WeightStorage storage) {
    const PipelineOptions options{.placement = {.device = at::kCPU, .dtype = at::kFloat, .storage = storage}};
    const auto model = open_model("m", file.write(), options);
    return std::pair{generate_image(*model.load({}, {}), r).pixels, model.description.weight_bytes};
  };
  const auto [values, bytes] = draw(plain, WeightStorage::kCompute);
  const auto [image, scaled_bytes] = draw(scaled, WeightStorage::kCompute);
  EXPECT_EQ(image, values);
  EXPECT_LT(scaled_bytes, bytes) << "counted as stored";
  EXPECT_EQ(draw(scaled, WeightStorage::kStored).first, values);
}

TEST(SingleFile, ExternalTextEncoderOfStableDiffusion2OmitsItsLastLayer) {
  EditedFile sd2("sd2_v"), text("sd2_v");
  std::erase_if(sd2.tensors, [](const auto& tensor) { return tensor.first.starts_with("cond_stage_model."); });
  std::erase_if(text.tensors, [](const auto& tensor) { return !tensor.first.starts_with("cond_stage_model."); });
  sd2.tensors["model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"] = at::zeros({64, 1024});
  const auto path = sd2.write();
  write_safetensors(reference("edited/text.safetensors"), text.tensors, {});
  std::ofstream(reference("edited/model.easel.json")) << R"({"text_encoder": "text.safetensors"})";
  const auto checkpoint = Checkpoint::open(path);
  fs::remove(reference("edited/model.easel.json"));
  EXPECT_EQ(checkpoint.source->config(Component::kTextEncoder).object()["num_hidden_layers"], 23);
}

TEST(SingleFile, MissingTensorsAreReportedByTheirOriginalNames) {
  const PipelineOptions options{.placement = {.device = at::kCPU, .dtype = at::kFloat}};
  for (const auto& [file, name] : std::vector<std::pair<std::string, std::string>>{
           {"sd1", "model.diffusion_model.output_blocks.3.1.transformer_blocks.0.attn2.to_v.weight"},
           {"sd1", "model.diffusion_model.input_blocks.2.0.op.bias"},
           {"sd1", "first_stage_model.decoder.up.3.upsample.conv.weight"},
           {"sd1", "first_stage_model.encoder.mid.attn_1.q.weight"},
           {"sd1", "cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc2.bias"},
           {"xl", "conditioner.embedders.1.model.transformer.resblocks.2.attn.in_proj_weight"},
           {"xl", "conditioner.embedders.1.model.text_projection"}}) {
    EditedFile edited(file);
    ASSERT_EQ(edited.tensors.erase(name), 1u) << name;
    const auto path = edited.write();
    const auto message = message_of([&] { open_model("m", path, options).load({}, {}); });
    EXPECT_THAT(message, HasSubstr("`" + name + "` is missing"));
    EXPECT_THAT(message, HasSubstr(path));
    EXPECT_EQ(message.find(name), message.rfind(name)) << "named once: " << message;
  }
}

TEST(SingleFile, PredictionTypeComesFromFileOrManifest) {
  EditedFile sd2("sd2_v"), xl("xl");
  EXPECT_EQ(sd2.scheduler()["prediction_type"], "v_prediction");
  EXPECT_EQ(sd2.scheduler({{"global_step", "875000"}})["prediction_type"], "epsilon");
  EXPECT_EQ(sd2.scheduler({{"modelspec.prediction_type", "epsilon"}})["prediction_type"], "epsilon");
  sd2.tensors["global_step"] = at::full({}, 875000, at::kLong);
  EXPECT_EQ(sd2.scheduler()["prediction_type"], "epsilon");
  sd2.tensors.erase("global_step");
  sd2.write();
  std::ofstream(reference("edited/model.easel.json")) << R"({"prediction_type": "epsilon"})";
  const auto base = open_model("m", reference("edited/model.safetensors"), {}).description;
  fs::remove(reference("edited/model.easel.json"));
  EXPECT_EQ(base.native_width, 512);
  EXPECT_EQ(base.default_scheduler, "pndm");
  EXPECT_EQ(open_model("m", reference("edited/model.safetensors"), {}).description.native_width, 768);

  EXPECT_EQ(xl.scheduler()["prediction_type"], "epsilon");
  xl.tensors["v_pred"] = xl.tensors["ztsnr"] = at::zeros({1});
  EXPECT_EQ(xl.scheduler()["prediction_type"], "v_prediction");
  EXPECT_EQ(xl.scheduler()["rescale_betas_zero_snr"], true);
}

TEST(SingleFile, UnsupportedFamiliesAreRejectedByName) {
  const auto rejection = [](const std::string& name, at::Tensor tensor) {
    EditedFile edited("sd1");
    edited.tensors[name] = std::move(tensor);
    const auto path = edited.write();
    return message_of([&] { Checkpoint::open(path); });
  };
  const std::string first = "model.diffusion_model.input_blocks.0.0.weight";
  EXPECT_THAT(rejection(first, at::zeros({32, 5, 3, 3})), HasSubstr("Depth2Img"));
  EXPECT_THAT(rejection(first, at::zeros({32, 7, 3, 3})), HasSubstr("upscaler without classes"));
  EXPECT_THAT(rejection("edm_mean", at::zeros({4})), HasSubstr("Playground"));
  EXPECT_THAT(rejection("edm_vpred.sigma_max", at::zeros({1})), HasSubstr("EDM"));
  EXPECT_THAT(rejection("model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight", at::zeros({4})),
              HasSubstr("Stable Video Diffusion"));
  EditedFile shown("sd1"), instructed("xl");
  std::erase_if(shown.tensors, [](const auto& tensor) { return tensor.first.starts_with("cond_stage_model."); });
  shown.tensors["cond_stage_model.model.visual.proj"] = at::zeros({4, 4});
  EXPECT_THAT(message_of([&] { Checkpoint::open(shown.write()); }), HasSubstr("an image in place of a prompt"));
  instructed.tensors[first] = at::zeros({64, 8, 3, 3});
  EXPECT_THAT(message_of([&] { Checkpoint::open(instructed.write()); }),
              HasSubstr("StableDiffusionXLInstructPix2PixPipeline"));
}

TEST(SingleFile, NonCheckpointFilesAreIdentifiedInTheError) {
  const std::string before = "model.diffusion_model.", folder = reference("others");
  fs::create_directories(folder);
  const std::vector<std::pair<std::string, std::string>> others = {
      {before + "joint_blocks.0.context_block.mlp.fc1.bias", "Stable Diffusion 3"},
      {"joint_blocks.37.x_block.mlp.fc1.weight", "Stable Diffusion 3"},
      {"double_blocks.0.img_attn.norm.key_norm.scale", "FLUX.1"},
      {"clip_txt_mapper.weight", "Stable Cascade"},
      {"down_blocks.1.0.channelwise.0.weight", "Stable Cascade"},
      {"add_embedding.image_proj.weight", "Kandinsky"},
      {"control_model.time_embed.0.weight", "ControlNet"},
      {"decoder.layers.1.weight", "tiny autoencoder"},
      {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "--lora-dir"},
      {"double_blocks.0.img_attn.qkv.lora_A.weight", "--lora-dir"},
      {"emb_params", "--embeddings-dir"},
      {"input_blocks.0.0.weight", "names lack `model.diffusion_model.`"},
      {"something", "not a Stable Diffusion checkpoint"}};
  for (const auto& [tensor, what] : others) {
    write_safetensors(folder + "/other.safetensors", {{tensor, at::zeros({4})}}, {});
    EXPECT_THAT(message_of([&] { Checkpoint::open(folder + "/other.safetensors"); }), HasSubstr(what)) << tensor;
    EXPECT_EQ(find_checkpoints(folder).size(), 1u) << "listed, so that opening it reports its name";
  }
  write_safetensors(folder + "/other.safetensors",
                    {{"conv_in.weight", at::zeros({4})}, {"down_blocks.0.resnets.0.conv1.weight", at::zeros({4})}}, {});
  EXPECT_THAT(message_of([&] { Checkpoint::open(folder + "/other.safetensors"); }), HasSubstr("diffusers' names"));
}

TEST(SingleFile, ManifestFieldsOfSingleFilesAreErrorsInFolders) {
  fs::create_directories(reference("folder"));
  std::ofstream(reference("folder/model_index.json")) << R"({"_class_name": "StableDiffusionPipeline"})";
  std::ofstream(reference("folder/easel.json")) << R"({"prediction_type": "epsilon"})";
  EXPECT_THAT(message_of([] { Checkpoint::open(reference("folder")); }), HasSubstr("`prediction_type`"));
}

TEST(SingleFile, PicklesAreRejectedWithTheConvertCommand) {
  std::ofstream(reference("old.ckpt")) << "PK";
  const auto path = reference("old.ckpt");
  EXPECT_THAT(message_of([&] { Checkpoint::open(path); }), HasSubstr("`easel convert " + path + "`"));
  EXPECT_THAT(message_of([&] { Checkpoint::open(reference("cases.json")); }), HasSubstr("neither"));
}

TEST(SingleFile, FindCheckpointsSkipsComponentFiles) {
  std::vector<std::string> names;
  for (const auto& path : find_checkpoints(reference("parts"))) names.push_back(checkpoint_name(path));
  EXPECT_THAT(names, ::testing::ElementsAre("with_manifest"));
  const auto all = find_checkpoints(EASEL_REFERENCE_DIR);
  EXPECT_THAT(all, ::testing::Contains(reference("sd1.safetensors")));
  EXPECT_THAT(all, ::testing::Not(::testing::Contains(reference("vae_alone.safetensors"))));
  EXPECT_EQ(checkpoint_name(reference("sd1.safetensors")), "sd1");
  EXPECT_EQ(checkpoint_name(reference("other_vae/")), "other_vae");
}

// --- the published models, by names and shapes only ---

/// Expects two configs to agree in the fields that both have.
void expect_compatible(const json& found, const json& published) {
  int compared = 0;
  for (const auto& [key, value] : found.items()) {
    // One value for all levels, or for those without attention, is written in several ways.
    if (!published.contains(key) || key == "transformer_layers_per_block" || key == "projection_dim") continue;
    if (key == "only_cross_attention" || key == "eos_token_id") continue;
    EXPECT_EQ(value, published.at(key)) << key;
    ++compared;
  }
  EXPECT_GE(compared, 5);
}

class PublishedFile : public ::testing::TestWithParam<std::pair<const char*, long>> {};

TEST_P(PublishedFile, MatchesNamesShapesAndConfigsOfTheDiffusersFolder) {
  const std::string name = GetParam().first;
  const auto file = reference("published/" + name + ".safetensors");
  const auto configs = std::string(EASEL_CONFIGS_DIR) + "/" + name + "/";
  const auto checkpoint = Checkpoint::open(file);
  EXPECT_EQ(checkpoint.class_name, read_json(configs + "model_index.json")["_class_name"].get<std::string>());
  EXPECT_EQ(open_model("m", file, {}).description.parameters, GetParam().second);
  const auto published = read_json(reference("published/" + name + ".json"));
  for (const auto& [model, wanted] : published.at("shapes").items()) {
    SCOPED_TRACE(model);
    const auto component = find_component(model).value();
    const auto store = with_clip_text_names(checkpoint.source->weights(component));
    EXPECT_EQ(store->names().size(), wanted.size());
    for (const auto& [tensor, shape] : wanted.items()) {
      const auto* info = store->find(tensor);
      if (info == nullptr) info = store->find("text_model." + tensor);
      ASSERT_NE(info, nullptr) << tensor;
      EXPECT_EQ(json(info->shape), shape) << tensor;
    }
    expect_compatible(checkpoint.source->config(component).object(), published.at("configs").at(model));
  }
  expect_compatible(checkpoint.source->config(Component::kScheduler).object(), read_json(configs + "scheduler.json"));

  // The detected config needs exactly these tensors.
  Weights weights(checkpoint.source->weights(Component::kUnet), {.device = at::kMeta, .dtype = at::kHalf});
  auto config = checkpoint.source->config(Component::kUnet);
  const UNet2DConditionModel unet(UNet2DConditionConfig::from(config), weights.root());
  EXPECT_NO_THROW(weights.finish());
}

INSTANTIATE_TEST_SUITE_P(Models, PublishedFile,
                         ::testing::Values(std::pair{"sd15", 859520964L + 83653863 + 123060480},
                                           std::pair{"sd15-inpainting", 859535364L + 83653863 + 123060480},
                                           std::pair{"sd21", 865910724L + 83653863 + 340387840},
                                           std::pair{"x4-upscaler", 473398020L + 55325927 + 340387840},
                                           std::pair{"sdxl-base", 2567463684L + 83653863 + 123060480 + 694659840},
                                           std::pair{"sdxl-refiner", 2259526660L + 83653863 + 694659840}));

}  // namespace
}  // namespace easel
