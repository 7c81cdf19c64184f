#include "weights/loading/weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <utility>

#include "support.h"
#include "tensor_support.h"
#include "weights/stores/component_store.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using testing::HasSubstr;

/// Records which tensors are read and released. From several threads, only `reads` is exact.
class CountingStore : public MemoryStore {
 public:
  using MemoryStore::MemoryStore;
  at::Tensor read(const std::string& name) const override {
    ++reads;
    if (failing) throw Error(ErrorCode::kCorruptData, "unet.safetensors shrank");
    return MemoryStore::read(name);
  }
  mutable std::atomic<int> reads = 0;
  bool failing = false;
  void release(const std::string& name) const override { released.push_back(name); }
  mutable std::vector<std::string> released;
};

std::shared_ptr<CountingStore> small_store() {
  return std::make_shared<CountingStore>(
      std::map<std::string, at::Tensor>{{"conv.weight", at::arange(6, c10::kFloat).view({2, 3})},
                                        {"conv.bias", at::full({2}, 1.0009765625, c10::kHalf)},
                                        {"blocks.0.scale", at::full({}, 3.0, c10::kBFloat16)},
                                        {"position_ids", at::arange(4, c10::kLong)}},
      "unet.safetensors");
}

TEST(Weights, TakesByScopedNamesAndConverts) {
  const auto store = small_store();
  Weights weights(store, {});
  const auto root = weights.root();
  EXPECT_TRUE(same((root / "conv").take("weight", {2, 3}), store->read("conv.weight")));
  EXPECT_TRUE(same((root / "conv").take("bias", {2}), at::full({2}, 1.0009765625, c10::kFloat)));
  EXPECT_TRUE(same((root / "blocks" / 0).take("scale", {}), at::full({}, 3.0, c10::kFloat)));
  EXPECT_TRUE(root.has("position_ids"));
  EXPECT_FALSE((root / "conv").has("position_ids"));
  root.skip("position_ids");
  root.skip("not.there");
  EXPECT_NO_THROW(weights.finish());
  EXPECT_EQ(weights.placement().dtype, c10::kFloat);
}

TEST(Weights, MatchingTensorsAreViewsAndConvertedOnesReleased) {
  const auto store = small_store();
  Weights weights(store, {});
  EXPECT_EQ(weights.root().take("conv.weight", {2, 3}).const_data_ptr(), store->read("conv.weight").const_data_ptr());
  EXPECT_TRUE(store->released.empty());
  weights.root().take("conv.bias", {2});
  EXPECT_EQ(store->released, std::vector<std::string>{"conv.bias"});
  Weights half(store, {c10::kCPU, c10::kHalf});
  EXPECT_EQ(half.root().take("conv.bias", {2}).const_data_ptr(), store->read("conv.bias").const_data_ptr());
  EXPECT_EQ(half.root().take("conv.weight", {2, 3}).scalar_type(), c10::kHalf);
}

/// 16-bit numbers of a dtype with every pattern of bits but those of NaN, whose bits may change; six times over, which
/// is more than is converted at a time.
at::Tensor all_halves(c10::ScalarType dtype) {
  const auto patterns = at::arange(1 << 16, c10::kInt).to(c10::kShort).view(dtype);
  return at::nan_to_num(patterns.to(c10::kFloat), 0, HUGE_VAL, -HUGE_VAL).to(dtype).repeat({6, 1});
}

TEST(Weights, EveryNumberOfOneHalfDtypeIsRoundedAsByLibtorch) {
  for (const auto& [from, to] : {std::pair(c10::kHalf, c10::kBFloat16), std::pair(c10::kBFloat16, c10::kHalf)}) {
    const auto stored = all_halves(from);
    ASSERT_GT(stored.numel(), 1 << 18);
    Weights weights(
        std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{{"weight", stored}}, "unet.safetensors"),
        {c10::kCPU, to});
    EXPECT_TRUE(same(weights.root().take("weight", stored.sizes()), stored.to(to)));
  }
}

std::shared_ptr<CountingStore> kernel_store(std::vector<std::int64_t> shape) {
  return std::make_shared<CountingStore>(
      std::map<std::string, at::Tensor>{{"weight", at::arange(36, c10::kFloat).view(shape)}}, "unet.safetensors");
}

TEST(DeferredWeight, IsLoadedOnceOnFirstUse) {
  const auto store = kernel_store({2, 2, 3, 3});
  Weights weights(store, {});
  const auto weight = weights.root().take_deferred("weight", {2, 2, 3, 3}, at::MemoryFormat::ChannelsLast);
  const auto copy = weight;
  weights.finish();
  EXPECT_EQ(store->reads, 0);
  EXPECT_TRUE(weight.get().is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(store->reads, 1);
  EXPECT_EQ(store->released, std::vector<std::string>{"weight"});
  EXPECT_TRUE(same(weight.get(), at::arange(36, c10::kFloat).view({2, 2, 3, 3})));
  EXPECT_EQ(copy.get().const_data_ptr(), weight.get().const_data_ptr());
  EXPECT_EQ(store->reads, 1);
}

TEST(DeferredWeight, ConvertsDtypeAndFormatInOneCopy) {
  Weights weights(kernel_store({2, 2, 3, 3}), {c10::kCPU, c10::kBFloat16});
  const auto weight = weights.root().take_deferred("weight", {2, 2, 3, 3}, at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(weight.get().is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(same(weight.get(), at::arange(36, c10::kFloat).view({2, 2, 3, 3}).to(c10::kBFloat16)));
}

TEST(DeferredWeight, PointwiseKernelIsNotCopied) {
  const auto store = kernel_store({6, 6, 1, 1});
  Weights weights(store, {});
  const auto weight = weights.root().take_deferred("weight", {6, 6, 1, 1}, at::MemoryFormat::ChannelsLast);
  EXPECT_EQ(weight.get().const_data_ptr(), store->read("weight").const_data_ptr());
  EXPECT_TRUE(store->released.empty());
}

TEST(DeferredWeight, IsLoadedEagerlyOffCpu) {
  const auto store = kernel_store({2, 2, 3, 3});
  Weights weights(store, {c10::kMeta, c10::kFloat});
  weights.root().take_deferred("weight", {2, 2, 3, 3}, at::MemoryFormat::ChannelsLast);
  EXPECT_EQ(store->reads, 1);
}

TEST(DeferredWeight, MismatchIsReportedAtLoadWithoutAllocating) {
  Weights weights(kernel_store({2, 2, 3, 3}), {});
  weights.root().take_deferred("weight", {2, 3, 3, 3}, at::MemoryFormat::ChannelsLast);
  weights.root().take_deferred("huge", {1 << 20, 1 << 20, 3, 3}, at::MemoryFormat::ChannelsLast);
  EXPECT_EQ(error_of([&] { weights.finish(); }),
            "corrupt_data: unet.safetensors does not fit its config: `weight` is [2, 2, 3, 3] in unet.safetensors, "
            "expected [2, 3, 3, 3]; `huge` is missing");
}

TEST(DeferredWeight, AnotherFormIsMadeOnceAndReleasesTheFirst) {
  int made = 0;
  auto first = at::ones({3});
  const c10::weak_intrusive_ptr<c10::TensorImpl> watched(first.getIntrusivePtr());
  const auto doubled = DeferredWeight(std::move(first)).then([&](const at::Tensor& tensor) {
    ++made;
    return tensor * 2;
  });
  EXPECT_EQ(made, 0);
  EXPECT_EQ(doubled.get().sum().item<double>(), 6);
  EXPECT_EQ(DeferredWeight(doubled).get().sum().item<double>(), 6);
  EXPECT_EQ(made, 1);
  EXPECT_TRUE(watched.expired());
}

/// @return  what is kept of a weight of kernel_store: twice its values
at::Tensor doubled(const at::Tensor& weight) {
  return weight * 2;
}

TEST(DeferredWeight, AConvertedWeightReleasesWhatIsStored) {
  const auto store = kernel_store({6, 6});
  Weights weights(store, {});
  const auto weight = weights.root().take_deferred("weight", {6, 6}, std::nullopt, &doubled);
  EXPECT_EQ(store->reads, 0);
  EXPECT_TRUE(same(weight.get(), at::arange(36, c10::kFloat).view({6, 6}) * 2));
  EXPECT_EQ(store->released, std::vector<std::string>{"weight"});
}

TEST(DeferredWeight, AWeightThatIsKeptAsItIsStaysAView) {
  const auto store = kernel_store({6, 6});
  Weights weights(store, {});
  const auto weight = weights.root().take_layer("weight", {6, 6}, [](const at::Tensor& stored) { return stored; });
  EXPECT_EQ(weight.whole(c10::kFloat).const_data_ptr(), store->read("weight").const_data_ptr());
  EXPECT_TRUE(store->released.empty());
}

TEST(DeferredWeight, IsConvertedOffCpu) {
  Weights weights(kernel_store({6, 6}), {c10::kMeta, c10::kFloat});
  const auto narrow = [](const at::Tensor& weight) { return weight.narrow(0, 0, 1); };
  EXPECT_EQ(weights.root().take_deferred("weight", {6, 6}, std::nullopt, narrow).get().size(0), 1);
}

std::shared_ptr<CountingStore> store_of_many(int count) {
  std::map<std::string, at::Tensor> tensors;
  for (int i = 0; i < count; ++i) tensors.emplace(std::to_string(i), at::full({4, 4}, i, c10::kFloat));
  return std::make_shared<CountingStore>(std::move(tensors), "unet.safetensors");
}

TEST(Weights, PrepareMakesEachWeightOnceAndCountsItThen) {
  constexpr int kCount = 50;
  const auto store = store_of_many(kCount);
  std::vector<double> progress;
  const std::int64_t bytes = kCount * 4 * 4 * 4;
  Weights weights(store, {},
                  {.meter = std::make_shared<LoadMeter>(bytes, [&](double part) { progress.push_back(part); })});
  std::atomic<int> made = 0;
  std::vector<DeferredWeight> taken;
  for (int i = 0; i < kCount; ++i) {
    taken.push_back(
        weights.root().take_deferred(std::to_string(i), {4, 4}, std::nullopt, [&](const at::Tensor& weight) {
          ++made;
          return weight + 1;
        }));
  }
  weights.finish();
  EXPECT_TRUE(progress.empty());
  weights.prepare();
  EXPECT_EQ(made, kCount);
  EXPECT_EQ(progress.size(), static_cast<std::size_t>(kCount));
  EXPECT_DOUBLE_EQ(progress.back(), 1);
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(taken[static_cast<std::size_t>(i)].get().max().item<int>(), i + 1);
  weights.prepare();
  EXPECT_EQ(made, kCount) << "not again";
}

TEST(Weights, PrepareLeavesOutWhatIsLeftToItsFirstUse) {
  const std::map<std::string, at::Tensor> tensors{{"encoder.weight", at::ones({2, 2})},
                                                  {"encoders.weight", at::ones({2, 2})}};
  const auto store = std::make_shared<CountingStore>(tensors, "vae.safetensors");
  std::vector<double> progress;
  Weights weights(store, {},
                  {.meter = std::make_shared<LoadMeter>(32, [&](double part) { progress.push_back(part); })});
  const auto encoder = weights.root() / "encoder";
  encoder.prepare_at_first_use();
  const auto seldom = encoder.take_deferred("weight", {2, 2}, std::nullopt, &doubled);
  (weights.root() / "encoders").take_deferred("weight", {2, 2}, std::nullopt, &doubled);
  EXPECT_EQ(progress, std::vector<double>{0.5}) << "what is left to its first use counts when it is taken";
  weights.prepare();
  EXPECT_EQ(progress.back(), 1);
  EXPECT_EQ(store->reads, 1);
  EXPECT_TRUE(same(seldom.get(), at::full({2, 2}, 2.0)));
}

TEST(Weights, PrepareReportsAFileThatChanged) {
  const auto store = store_of_many(3);
  Weights weights(store, {});
  for (const char* name : {"0", "1", "2"}) weights.root().take_deferred(name, {4, 4}, std::nullopt, &doubled);
  store->failing = true;
  EXPECT_EQ(error_of([&] { weights.prepare(); }), "corrupt_data: unet.safetensors shrank");
}

TEST(DeferredWeight, FailedLoadIsRetried) {
  const auto store = kernel_store({2, 2, 3, 3});
  Weights weights(store, {});
  const auto weight = weights.root().take_deferred("weight", {2, 2, 3, 3}, at::MemoryFormat::ChannelsLast);
  store->failing = true;
  EXPECT_EQ(error_of([&] { weight.get(); }), "corrupt_data: unet.safetensors shrank");
  store->failing = false;
  EXPECT_TRUE(same(weight.get(), at::arange(36, c10::kFloat).view({2, 2, 3, 3})));
}

TEST(DeferredWeight, KeepsSmallerStoredDtypeWhenRequested) {
  const auto half = at::arange(36, c10::kFloat).view({2, 2, 3, 3}).to(c10::kHalf);
  const auto store = std::make_shared<CountingStore>(
      std::map<std::string, at::Tensor>{{"a", half}, {"b", half}, {"c", half}, {"d", half}}, "unet.safetensors");
  const Placement stored{.device = c10::kCPU, .dtype = c10::kFloat, .storage = WeightStorage::kStored};
  Weights weights(store, stored);
  const auto matrix = weights.root().take_deferred("a", {2, 2, 3, 3}).get();
  EXPECT_EQ(matrix.const_data_ptr(), half.const_data_ptr()) << "not even a copy";
  const auto kernel = weights.root().take_deferred("b", {2, 2, 3, 3}, at::MemoryFormat::ChannelsLast).get();
  EXPECT_EQ(kernel.scalar_type(), c10::kHalf);
  EXPECT_TRUE(kernel.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(weights.root().take("c", {2, 2, 3, 3}).scalar_type(), c10::kFloat) << "norms and biases are converted";
  const auto wide = std::make_shared<CountingStore>(std::map<std::string, at::Tensor>{{"d", half.to(c10::kFloat)}},
                                                    "unet.safetensors");
  Weights computing_in_half(wide, {.device = c10::kCPU, .dtype = c10::kHalf, .storage = WeightStorage::kStored});
  EXPECT_EQ(computing_in_half.root().take_deferred("d", {2, 2, 3, 3}).get().scalar_type(), c10::kHalf)
      << "smaller than stored";
}

TEST(Weights, AllMismatchesAreReportedInOneError) {
  Weights weights(small_store(), {});
  const auto root = weights.root();
  const auto missing = (root / "norm").take("weight", {7, 2});
  EXPECT_EQ(missing.sizes().vec(), (std::vector<std::int64_t>{7, 2}));
  EXPECT_EQ(missing.sum().item<float>(), 0.0f);
  root.take("conv.weight", {2, 4});
  root.take("position_ids", {4});
  root.skip("blocks.0.scale");
  EXPECT_EQ(error_of([&] { weights.finish(); }),
            "corrupt_data: unet.safetensors does not fit its config: `norm.weight` is missing; "
            "`conv.weight` is [2, 3] in unet.safetensors, expected [2, 4]; "
            "`position_ids` is Long in unet.safetensors, expected floating point; "
            "`conv.bias` in unet.safetensors is not a tensor of the model");
  Weights left_over(std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{{"extra", at::zeros({1})}}, "unet"),
                    {});
  EXPECT_EQ(error_of([&] { left_over.finish(); }),
            "corrupt_data: unet does not fit its config: `extra` in unet is not a tensor of the model; "
            "--ignore-tensors PATTERN leaves out tensors that do not matter");
}

TEST(Weights, ShapesMustMatchInEveryDimension) {
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{{3, 2}, {6}, {1, 2, 3}, {2, 3, 1}, {}}) {
    Weights weights(small_store(), {});
    weights.root().take("conv.weight", shape);
    EXPECT_THAT(error_of([&] { weights.finish(); }), HasSubstr("`conv.weight` is [2, 3]")) << shape.size();
  }
}

// A config may ask for shapes that do not fit any memory.
TEST(Weights, HugeMissingTensorAllocatesNothing) {
  Weights weights(small_store(), {});
  EXPECT_EQ(weights.root().take("huge", {1 << 30, 1 << 30}).numel(), std::int64_t{1} << 60);
  EXPECT_THROW(weights.finish(), Error);
}

TEST(Weights, ReportedMismatchesAreCapped) {
  Weights weights(std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{}), {});
  for (int i = 0; i < 25; ++i) weights.root().take("t" + std::to_string(i), {1});
  const auto message = error_of([&] { weights.finish(); });
  EXPECT_THAT(message, HasSubstr("`t19` is missing; and 5 more"));
  EXPECT_EQ(message.find("t20"), std::string::npos);
}

TEST(Weights, TakingATensorTwiceIsAnInternalError) {
  Weights weights(small_store(), {});
  weights.root().take("conv.bias", {2});
  EXPECT_EQ(error_of([&] { weights.root().take("conv.bias", {2}); }),
            "internal: unet.safetensors: `conv.bias` is taken twice");
}

TEST(Weights, LoadsTheShippedLayoutFromDisk) {
  const auto store = open_component(reference("half"), "diffusion_pytorch_model");
  Weights weights(store, {});
  for (const auto& name : store->names()) {
    const auto taken = weights.root().take(name, store->find(name)->shape);
    EXPECT_EQ(taken.scalar_type(), c10::kFloat);
    EXPECT_TRUE(same(taken, store->read(name).to(c10::kFloat))) << name;
  }
  EXPECT_NO_THROW(weights.finish());
}

}  // namespace
}  // namespace easel
