// The device memory that models need, and the options that reduce it.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "checkpoints/checkpoint_source.h"
#include "core/config.h"
#include "easel/image_file.h"
#include "pipelines/families/memory_check.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/images/tiled_autoencoder.h"
#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "support/counting_allocator.h"
#include "support/reference_vectors.h"
#include "tensor/component_offloader.h"
#include "tensor/torch_errors.h"
#include "weights/loading/weights.h"

namespace easel {
namespace {

using testing::all_near;
using testing::generate_image;
using testing::reference;
using testing::ReferenceVectors;

// The workspaces of kernels are not estimated.
constexpr double kTolerance = 0.05;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;
const std::string kEmoji = EASEL_EMOJI_MODEL;

AutoencoderKL make_vae(Config config, std::shared_ptr<const TensorStore> store, c10::ScalarType dtype = at::kFloat) {
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  AutoencoderKL vae(AutoencoderKLConfig::from(config), weights.root());
  weights.finish();
  return vae;
}

AutoencoderKL emoji_vae() {
  const auto source = open_folder_source(kEmoji);
  return make_vae(source->config(Component::kVae), source->weights(Component::kVae));
}

GenerationRequest emoji_request() {
  GenerationRequest r;
  r.prompt = "a fox on a blue background";
  r.negative_prompt = "a whale";
  r.seed = 5;
  r.num_inference_steps = 3;
  return r;
}

std::unique_ptr<Pipeline> load_emoji(const PipelineOptions& options) {
  return open_model("emoji", kEmoji, options).load({}, {});
}

const std::vector<std::uint8_t>& baseline_pixels() {
  static const auto pixels = generate_image(*load_emoji({}), emoji_request()).pixels;
  return pixels;
}

// The reference card has 24 GB: an L4, a 3090, a 4090. The rest is for the driver, workspaces of libraries and the
// latents of a second image.
TEST(MemoryEstimate, SdxlWithRefinerAt1024InFloat16FitsIn24GiB) {
  const Placement gpu{.device = at::kCUDA, .dtype = at::kHalf};
  const auto d = open_model("sdxl", reference("sdxl"), {.placement = gpu}).description;
  std::vector<std::string> names;
  std::int64_t weights = 0;
  for (const auto& component : d.components) {
    names.push_back(component.name);
    for (const auto& [dtype, bytes] : component.memory_bytes) weights += bytes;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"text_encoder", "text_encoder_2", "unet", "refiner/unet", "vae"}));
  EXPECT_EQ(d.components[2].parameters, 2'567'463'684) << "as published";
  EXPECT_EQ(d.components[4].memory_bytes.begin()->first, "float32") << "its config says force_upcast";
  ASSERT_EQ(d.activations.size(), 1u);
  const auto& at_1024 = d.activations[0];
  EXPECT_EQ(at_1024.width, 1024);
  std::printf("weights %.2f GiB, step of 2 rows %.2f, of 16 rows %.2f, decode %.2f; together %.2f\n",
              static_cast<double>(weights) / kGiB, static_cast<double>(at_1024.step_bytes.at(2)) / kGiB,
              static_cast<double>(at_1024.step_bytes.at(16)) / kGiB, static_cast<double>(at_1024.decode_bytes) / kGiB,
              static_cast<double>(d.memory_bytes) / kGiB);
  EXPECT_EQ(d.memory_bytes, weights + std::max(at_1024.step_bytes.at(2), at_1024.decode_bytes));
  EXPECT_GT(d.memory_bytes, 12 * kGiB) << "the weights by themselves";
  EXPECT_LT(d.memory_bytes, 22 * kGiB);
  EXPECT_LT(weights + at_1024.step_bytes.at(16), 22 * kGiB) << "also with eight guided images in a step";
}

TEST(MemoryEstimate, OffloadedComponentsNeedOnlyTheLargest) {
  PipelineOptions options{.placement = {.device = at::kCUDA, .dtype = at::kHalf}};
  const auto all = open_model("sdxl", reference("sdxl"), options).description.memory_bytes;
  options.placement.offloader = std::make_shared<ComponentOffloader>([](const at::Tensor& host) { return host; });
  const auto turns = open_model("sdxl", reference("sdxl"), options).description.memory_bytes;
  EXPECT_LT(turns, 8 * kGiB) << "fits a card of 8 GiB";
  EXPECT_LT(turns, all / 2);
}

TEST(MemoryEstimate, FollowTilingSizeAndStorage) {
  PipelineOptions options;
  options.placement = {.device = at::kCUDA, .dtype = at::kHalf};
  options.estimated_sizes = {{2048, 2048}, {1024, 1024}};
  const auto whole = open_model("sdxl", reference("sdxl"), options).description.activations;
  options.vae_tiling = VaeTiling::kOn;
  const auto tiled = open_model("sdxl", reference("sdxl"), options).description.activations;
  ASSERT_EQ(whole.size(), 2u) << "the native size is reported once";
  // A tile of SDXL's autoencoder has 1024 pixels. Nine tiles and the result are in memory along with the tile that is
  // processed.
  EXPECT_GT(tiled[1].decode_bytes, whole[0].decode_bytes);
  EXPECT_LT(tiled[1].decode_bytes, whole[0].decode_bytes * 11 / 10);
  EXPECT_GT(whole[1].decode_bytes, 3 * whole[0].decode_bytes);

  const auto stored = open_model("emoji", kEmoji, {.placement = {.storage = WeightStorage::kStored}}).description;
  const auto plain = open_model("emoji", kEmoji, {}).description;
  EXPECT_EQ(plain.components[1].memory_bytes.count("float16"), 0u);
  EXPECT_GT(stored.components[1].memory_bytes.at("float16"), 50 * stored.components[1].memory_bytes.at("float32"));
  EXPECT_LT(stored.memory_bytes, plain.memory_bytes);
}

// Matrices and kernels that are kept in half precision are converted for the call of their layer.
TEST(MemoryEstimate, HalfStorageIncludesTheWeightALayerConverts) {
  const PipelineOptions options{.placement = {.storage = WeightStorage::kStored}};
  const auto served = open_model("emoji", kEmoji, options);
  const auto plain = open_model("emoji", kEmoji, {}).description.activations[0].step_bytes.at(2);
  const auto estimated = served.description.activations[0].step_bytes.at(2);
  EXPECT_GT(estimated, plain);
  const auto pipeline = served.load({}, {});
  const auto allocated = testing::peak_of_a_step(*pipeline, emoji_request());
  EXPECT_NEAR(static_cast<double>(estimated) / static_cast<double>(allocated), 1.0, kTolerance) << allocated;
}

TEST(MemoryEstimate, ReleasedTextEncodersNeedLess) {
  PipelineOptions options{.placement = {.device = at::kCUDA, .dtype = at::kHalf}};
  const auto all = open_model("sdxl", reference("sdxl"), options).description;
  options.placement.release_text_encoders = true;
  const auto released = open_model("sdxl", reference("sdxl"), options).description;
  std::int64_t text = 0;
  for (const auto& component : all.components) {
    if (component.name.starts_with("text_encoder")) text += component.memory_bytes.at("float16");
  }
  EXPECT_EQ(released.memory_bytes, all.memory_bytes - text);
}

TEST(MemoryEstimate, ActivationsAreSkippedWhenNotRequested) {
  const auto d = open_model("emoji", kEmoji, {.estimate_activations = false}).description;
  EXPECT_TRUE(d.activations.empty());
  EXPECT_EQ(d.weight_bytes, open_model("emoji", kEmoji, {}).description.weight_bytes);
}

TEST(OutOfMemory, ErrorSuggestsASmallerImage) {
  constexpr std::int64_t kMoreThanAnAddressSpace = std::int64_t{1} << 57;
  try {
    with_torch_errors([] { return at::empty({kMoreThanAnAddressSpace}, at::kByte); });
    ADD_FAILURE() << "it was there";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kResourceExhausted);
    EXPECT_EQ(std::string(e.what()),
              "host memory is used up (you tried to allocate 144115188075855872 bytes); a smaller image needs less, "
              "and `easel models --size WIDTHxHEIGHT` shows the server's operator how much");
  }
}

TEST(TiledAutoencoder, MatchesDiffusers) {
  const c10::InferenceMode inference;
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "tiled");
  const auto& tolerances = vectors.notes().at("tolerances");
  const auto vae = make_vae(Config(vectors.notes().at("config"), "vae/config.json"), vectors.weights());
  const auto tile = reference_tile(vae.config());
  EXPECT_EQ(tile, 64);
  EXPECT_TRUE(
      all_near(tiled_decode(vae, vectors.tensor("z"), tile, {}), vectors.tensor("decoded"), tolerances.at("decoded")));
  const auto moments = tiled_encode(vae, vectors.tensor("x"), tile, {});
  EXPECT_TRUE(all_near(moments.mean, vectors.tensor("mean"), tolerances.at("mean")));
  EXPECT_TRUE(all_near(moments.logvar, vectors.tensor("logvar"), tolerances.at("logvar")));
}

TEST(TiledAutoencoder, BlendsHalfPrecisionAsDiffusersDoes) {
  const c10::InferenceMode inference;
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "tiled");
  const auto vae = make_vae(Config(vectors.notes().at("config"), "vae/config.json"), vectors.weights(), at::kBFloat16);
  const auto found = tiled_decode(vae, vectors.tensor("z").to(at::kBFloat16), 64, {}).to(at::kFloat);
  const auto wanted = vectors.tensor("decoded_bfloat16");
  // Eight bits of mantissa through some twenty layers.
  EXPECT_LT(testing::relative_error(found, wanted), 0.02);
}

/// An image of the README as input of the autoencoder, cropped to [1, 3, edge, edge].
at::Tensor sample_image(std::int64_t edge) {
  std::ifstream file(EASEL_SAMPLE_IMAGE, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  auto image = decode_image(bytes.str()).image;
  const auto pixels = at::from_blob(image.pixels.data(), {1, image.height, image.width, 3}, at::kByte);
  return pixels.permute({0, 3, 1, 2}).narrow(2, 0, edge).narrow(3, 0, edge).to(at::kFloat) / 127.5 - 1;
}

// Each tile has GroupNorm statistics and attention of its own, so colours differ slightly between tiles. In 8-bit
// units; this image has four times the size that the shipped autoencoder was trained on.
constexpr double kMeanFromWhole = 6.0, kMostFromWhole = 64.0;

TEST(TiledAutoencoder, IsCloseToTheUntiledResult) {
  const c10::InferenceMode inference;
  const auto vae = emoji_vae();
  const auto latents = vae.encode(sample_image(256), {}).mean;
  const auto whole = vae.decode(latents, {}).clamp(-1, 1), tiled = tiled_decode(vae, latents, 128, {}).clamp(-1, 1);
  const auto apart = (whole - tiled).abs() * 127.5;
  std::printf("of 255: mean %.3f, most %.1f\n", apart.mean().item<double>(), apart.max().item<double>());
  EXPECT_LT(apart.mean().item<double>(), kMeanFromWhole);
  EXPECT_LT(apart.max().item<double>(), kMostFromWhole);
  EXPECT_GT(apart.max().item<double>(), 0.01) << "or the test compares a thing with itself";
}

// With small tiles of a large image, finished tiles and the result need more memory than the tile that is processed.
// The estimate counts the last tile of a row as a whole one. With smaller tiles, workspaces of kernels would matter.
TEST(TiledAutoencoder, PeakMemoryMatchesTheEstimate) {
  const c10::InferenceMode inference;
  const auto vae = emoji_vae();
  const auto pixels = sample_image(256);
  const auto latents = vae.encode(pixels, {}).mean;
  vae.decode(latents, {});  // the first use of weights lays them out anew, which is not the tiles' memory
  const LatentSize whole{.rows = 1, .height = latents.size(2), .width = latents.size(3)};
  for (const std::int64_t tile : {64, 96}) {
    SCOPED_TRACE(tile);
    const auto decode = testing::peak_allocated_bytes([&] { tiled_decode(vae, latents, tile, {}); });
    EXPECT_GE(tiled_decode_bytes(vae.config(), whole, tile, {}), decode * 95 / 100);
    EXPECT_LE(tiled_decode_bytes(vae.config(), whole, tile, {}), decode * 3 / 2);
    // The image itself is there before the call.
    const auto encode =
        testing::peak_allocated_bytes([&] { tiled_encode(vae, pixels, tile, {}); }) + pixels.numel() * 4;
    EXPECT_GE(tiled_encode_bytes(vae.config(), whole, tile, {}), encode * 95 / 100);
    EXPECT_LE(tiled_encode_bytes(vae.config(), whole, tile, {}), encode * 3 / 2);
  }
}

// Tiles of other sizes do not fit together, and with tiles of a single cell the loop never ends. diffusers has both
// faults.
TEST(TiledAutoencoder, TileSizeIsAMultipleOfFourCells) {
  AutoencoderKLConfig config;
  config.block_out_channels = {8, 8, 8, 8};
  const auto tile_of = [&](std::int64_t sample_size) {
    config.sample_size = sample_size;
    return reference_tile(config);
  };
  EXPECT_EQ(tile_of(512), 512);
  EXPECT_EQ(tile_of(500), 480);
  EXPECT_EQ(tile_of(8), 32);
  EXPECT_EQ(tile_of(1), 32);
}

TEST(TiledAutoencoder, StopsBetweenTiles) {
  const c10::InferenceMode inference;
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "tiled");
  const auto vae = make_vae(Config(vectors.notes().at("config"), "vae/config.json"), vectors.weights());
  int polls = 0;
  const StopPredicate never = [&] { return ++polls < 0; };
  tiled_decode(vae, vectors.tensor("z").narrow(2, 0, 8).narrow(3, 0, 6), 64, {.stop = &never});
  const int of_a_tile = polls;
  polls = 0;
  const StopPredicate after_one = [&] { return ++polls > of_a_tile; };
  EXPECT_THROW(tiled_decode(vae, vectors.tensor("z"), 64, {.stop = &after_one}), Error);
  EXPECT_EQ(polls, of_a_tile + 1) << "the second tile was not begun";
}

TEST(ChooseTile, OnAndOffDependOnlyOnTheSize) {
  const auto any = [](std::int64_t) -> std::int64_t { return 1 << 30; };
  const ImageExtent small{512, 512, 8}, tall{520, 64, 8};
  EXPECT_EQ(choose_tile(VaeTiling::kOn, small, 512, 0, any), 0);
  EXPECT_EQ(choose_tile(VaeTiling::kOn, tall, 512, 0, any), 512);
  EXPECT_EQ(choose_tile(VaeTiling::kOff, tall, 512, 0, any), 0);
}

TEST(ChooseTile, AutoTilesOnlyWhatDoesNotFitWithTheLargestTileThatDoes) {
  const ImageExtent image{1024, 1024, 8};
  const auto area = [&](std::int64_t edge) { return edge == 0 ? image.height * image.width : edge * edge; };
  const auto chosen = [&](std::int64_t free) { return choose_tile(VaeTiling::kAuto, image, 1024, free, area); };
  EXPECT_EQ(chosen(2'000'000), 0);
  EXPECT_EQ(chosen(1024 * 1024), 512) << "a part must stay free";
  EXPECT_EQ(chosen(512 * 512 * 2), 512);
  EXPECT_EQ(chosen(512 * 512), 256);
  EXPECT_EQ(chosen(0), 128) << "the smallest, whatever happens";
  EXPECT_EQ(choose_tile(VaeTiling::kAuto, {120, 96, 8}, 1024, 0, area), 0) << "nothing to cut";
}

TEST(NextSmallerTile, HalvesFromTheReferencesTileToTheSmallest) {
  const ImageExtent image{1024, 768, 8};
  EXPECT_EQ(next_smaller_tile(image, 512, 0), 512) << "after the whole image";
  EXPECT_EQ(next_smaller_tile(image, 1024, 0), 512) << "a tile as large as the image would not help";
  EXPECT_EQ(next_smaller_tile(image, 512, 512), 256);
  EXPECT_EQ(next_smaller_tile(image, 512, 256), 128);
  EXPECT_EQ(next_smaller_tile(image, 512, 128), std::nullopt) << "16 cells are the smallest";
  EXPECT_EQ(next_smaller_tile({120, 96, 8}, 512, 0), std::nullopt) << "nothing to cut";
}

TEST(ImageCodec, DecodesInTilesWhenTilingIsOn) {
  const c10::InferenceMode inference;
  ImageCodec codec(emoji_vae(), VaeFields::kScalingFactor, {}, {});
  const auto latents = codec.scale(codec.encode(sample_image(192), {}).mean);
  const auto whole = codec.decode(latents, {});
  codec.set_tiling(VaeTiling::kOn);
  EXPECT_TRUE(
      codec.decode(latents, {}).equal(tiled_decode(emoji_vae(), latents / codec.config().scaling_factor, 128, {})));
  EXPECT_FALSE(codec.decode(latents, {}).equal(whole));
  const auto small = latents.narrow(2, 0, 16).narrow(3, 0, 16);
  EXPECT_TRUE(codec.decode(small, {}).equal(emoji_vae().decode(small / codec.config().scaling_factor, {})));
}

TEST(HalfStorage, GivesBitIdenticalImages) {
  const auto pipeline = load_emoji({.placement = {.storage = WeightStorage::kStored}});
  EXPECT_EQ(generate_image(*pipeline, emoji_request()).pixels, baseline_pixels());
}

TEST(ReleasedTextEncoders, GiveBitIdenticalImages) {
  const auto pipeline = load_emoji({.placement = {.release_text_encoders = true}});
  EXPECT_EQ(generate_image(*pipeline, emoji_request()).pixels, baseline_pixels());
  EXPECT_EQ(generate_image(*pipeline, emoji_request()).pixels, baseline_pixels()) << "from remembered prompts";
}

// Cached prompts do not need the file. A new prompt does, and a missing file is the model's fault, not the request's.
TEST(ReleasedTextEncoders, MissingFileIsNamed) {
  namespace fs = std::filesystem;
  const auto folder = fs::path(::testing::TempDir()) / "easel_released";
  fs::remove_all(folder);
  fs::copy(kEmoji, folder, fs::copy_options::recursive);
  const auto file = folder / "text_encoder" / "model.safetensors";
  const auto pipeline =
      open_model("emoji", folder.string(), {.placement = {.release_text_encoders = true}}).load({}, {});
  auto request = emoji_request();
  testing::begin(*pipeline, request);
  fs::rename(file, folder / "elsewhere");
  testing::begin(*pipeline, request);
  request.prompt = "something new";
  try {
    testing::begin(*pipeline, request);
    ADD_FAILURE() << "drawn without a text encoder";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptData) << "kNotFound says that there is no such model";
    EXPECT_NE(std::string(e.what()).find("text_encoder"), std::string::npos) << e.what();
  }
  fs::rename(folder / "elsewhere", file);
  testing::begin(*pipeline, request);
}

// Another memory of this machine stands in for a GPU.
TEST(Offload, SwappedComponentsGiveBitIdenticalImages) {
  std::int64_t copies = 0;
  PipelineOptions options;
  options.placement.offloader = std::make_shared<ComponentOffloader>([&](const at::Tensor& host) {
    ++copies;
    return host.clone();
  });
  const auto pipeline = load_emoji(options);
  EXPECT_EQ(copies, 0) << "loading leaves everything in host memory";
  auto generation = testing::begin(*pipeline, emoji_request());
  const auto of_text_encoder = copies;
  EXPECT_GT(of_text_encoder, 0);
  testing::step(*pipeline, generation.get());
  const auto with_unet = copies;
  EXPECT_GT(with_unet, of_text_encoder);
  testing::step(*pipeline, generation.get());
  testing::step(*pipeline, generation.get());
  EXPECT_EQ(copies, with_unet) << "the UNet stays from step to step";
  EXPECT_EQ(testing::finish(*pipeline, generation.get()).pixels, baseline_pixels());
  EXPECT_GT(copies, with_unet);
}

// Two models on one device with two images at once. One step is cancelled half-way, and once the device is full.
TEST(Offload, TwoModelsShareADeviceAcrossFailures) {
  bool full = false;
  PipelineOptions options;
  options.placement.offloader = std::make_shared<ComponentOffloader>([&](const at::Tensor& host) {
    if (full) throw Error(ErrorCode::kResourceExhausted, "full");
    return host.clone();
  });
  const auto a = load_emoji(options), b = load_emoji(options);
  auto in_a = testing::begin(*a, emoji_request()), in_b = testing::begin(*b, emoji_request());
  for (int step = 0; step < 3; ++step) {
    Generation* row = in_a.get();
    int polls = 0;
    EXPECT_THROW(a->step({&row, 1}, [&] { return ++polls > 5; }), Error);
    testing::step(*b, in_b.get());
    full = true;
    EXPECT_THROW(a->step({&row, 1}, {}), Error);
    full = false;
    testing::step(*a, row);
  }
  EXPECT_EQ(testing::finish(*b, in_b.get()).pixels, baseline_pixels());
  EXPECT_EQ(testing::finish(*a, in_a.get()).pixels, baseline_pixels());
}

TEST(MemoryCheck, ImageThatCanNeverFitNamesASizeThatDoes) {
  constexpr std::int64_t kMiB = 1 << 20;
  ModelDescription model;
  model.native_width = model.native_height = 512;
  model.activations = {{.width = 512, .height = 512, .step_bytes = {{1, 100 * kMiB}, {2, 200 * kMiB}}}};
  GenerationRequest request;
  EXPECT_NO_THROW(check_memory(request, model, 1)) << "without a size";
  request.width = request.height = 1024;
  EXPECT_NO_THROW(check_memory(request, model, 400 * kMiB)) << "one row at a time fits";
  try {
    check_memory(request, model, 399 * kMiB);
    ADD_FAILURE() << "was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(e.param(), "size");
    EXPECT_STREQ(e.what(),
                 "`size` 1024x1024 needs about 400 MiB for a step, and this server can have 399 MiB; at most "
                 "1016x1016 fits");
  }
  request.width = request.height = 1016;
  EXPECT_NO_THROW(check_memory(request, model, 399 * kMiB));
  model.upscale_factor = 4;
  EXPECT_NO_THROW(check_memory(request, model, kMiB)) << "upscalers have tiles";
}

}  // namespace
}  // namespace easel
