#include "nn/layer_adapter.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "core/text.h"
#include "nn/adapter_set.h"
#include "nn/layers.h"
#include "support/operator_counter.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

constexpr double kRounding = 1e-5;  // float32, sums of some ten products

double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

LayerAdapters single_adapter(LayerAdapter adapter, double weight) {
  return {{{.adapter = std::make_shared<const LayerAdapter>(std::move(adapter)), .weight = weight}}};
}

struct Case {
  const char* name;
  LayerAdapter adapter;
  at::Tensor weight;
};

std::vector<Case> cases() {
  const auto linear = at::randn({6, 8}), conv = at::randn({6, 8, 3, 3});
  return {
      {"linear", {.change = LowRank{at::randn({2, 8}), {}, at::randn({6, 2}), {}}, .scale = 0.5}, linear},
      {"conv", {.change = LowRank{at::randn({2, 8, 3, 3}), {}, at::randn({6, 2, 1, 1}), {}}, .scale = 2}, conv},
      {"mid",
       {.change = LowRank{at::randn({2, 8, 1, 1}), at::randn({2, 2, 3, 3}), at::randn({6, 2, 1, 1}), {}}, .scale = 0.7},
       conv},
  };
}

at::Tensor run_layer(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return weight.dim() == 2 ? at::linear(x, weight, bias) : at::conv2d(x, weight, bias, {2, 2}, {1, 1});
}

// Passing the input through the factors is the same as changing the weight.
TEST(LayerAdapter, FactorsEqualADeltaOfTheWeight) {
  const auto bias = at::randn({6});
  for (const auto& [name, adapter, weight] : cases()) {
    const auto x = weight.dim() == 2 ? at::randn({3, 5, 8}) : at::randn({3, 8, 6, 6});
    const auto found = apply_adapters(single_adapter(adapter, -0.6),
                                      {.input = x, .weight = weight, .bias = bias, .stride = 2, .padding = 1});
    const auto wanted = run_layer(x, weight - 0.6 * delta_weight(adapter, weight.sizes()), bias);
    EXPECT_LT(max_difference(found, wanted), 10 * kRounding) << name;
  }
}

// PEFT's lora_bias: the bias of `up` is scaled like the rest.
TEST(LayerAdapter, UpBiasIsScaled) {
  for (auto [name, adapter, weight] : cases()) {
    const auto x = weight.dim() == 2 ? at::randn({3, 5, 8}) : at::randn({3, 8, 6, 6});
    const LayerCall call{.input = x, .weight = weight, .bias = {}, .stride = 2, .padding = 1};
    const auto without = apply_adapters(single_adapter(adapter, 0.5), call);
    const auto up_bias = at::randn({6});
    std::get<LowRank>(adapter.change).up_bias = up_bias;
    const auto added = apply_adapters(single_adapter(adapter, 0.5), call) - without;
    const auto wanted = (up_bias * (0.5 * adapter.scale)).expand({3, 5, 6});
    EXPECT_LT(max_difference(weight.dim() == 2 ? added : added.flatten(2).transpose(1, 2).narrow(1, 0, 5), wanted),
              kRounding)
        << name;
  }
}

// Old LyCORIS files have a length for each input.
TEST(LayerAdapter, PerInputMagnitudesAreColumnNorms) {
  for (auto [name, adapter, weight] : cases()) {
    std::vector<std::int64_t> shape(weight.dim(), 1);
    shape[1] = 8;
    const auto lengths = at::randn({8}).abs();
    adapter.magnitude = {.lengths = lengths.reshape(shape), .rule = Magnitude::Rule::kLycoris};
    const auto x = weight.dim() == 2 ? at::randn({3, 5, 8}) : at::randn({3, 8, 6, 6});
    auto changed = weight + delta_weight(adapter, weight.sizes());
    for (std::int64_t column = 0; column < 8; ++column) {
      auto own = changed.select(1, column);
      own.mul_(lengths[column] / own.norm());
    }
    const auto found = apply_adapters(single_adapter(adapter, 1.0),
                                      {.input = x, .weight = weight, .bias = {}, .stride = 2, .padding = 1});
    EXPECT_LT(max_difference(found, run_layer(x, changed, {})), 10 * kRounding) << name;
  }
}

// A PEFT DoRA whose lengths are the changed weight's own is a LoRA.
TEST(LayerAdapter, UnchangedMagnitudesAreANoOp) {
  const auto bias = at::randn({6});
  for (auto [name, adapter, weight] : cases()) {
    if (std::get<LowRank>(adapter.change).mid.defined()) continue;
    const auto x = weight.dim() == 2 ? at::randn({3, 5, 8}) : at::randn({3, 8, 6, 6});
    const LayerCall call{.input = x, .weight = weight, .bias = bias, .stride = 2, .padding = 1};
    const auto plain = apply_adapters(single_adapter(adapter, 0.3), call);
    const auto changed = weight + 0.3 * delta_weight(adapter, weight.sizes());
    std::vector<std::int64_t> shape(weight.dim(), 1);
    shape[0] = 6;
    adapter.magnitude = {.lengths = changed.flatten(1).norm(2, 1).reshape(shape), .rule = Magnitude::Rule::kPeft};
    EXPECT_LT(max_difference(apply_adapters(single_adapter(adapter, 0.3), call), plain), 10 * kRounding) << name;
  }
}

// Whole deltas are added to the weight, low-rank changes are computed on the input, and biases are changed as well.
TEST(LayerAdapter, AdaptersOfEveryKindAreAdditive) {
  const auto bias = at::randn({6});
  for (const auto& [name, adapter, weight] : cases()) {
    const auto x = weight.dim() == 2 ? at::randn({3, 5, 8}) : at::randn({3, 8, 6, 6});
    const auto columns = weight.numel() / 6;
    const LayerAdapter kinds[] = {adapter,
                                  {.change = HadamardProduct{.w1_a = at::randn({6, 2}),
                                                             .w1_b = at::randn({2, columns}),
                                                             .w2_a = at::randn({6, 2}),
                                                             .w2_b = at::randn({2, columns}),
                                                             .t1 = {},
                                                             .t2 = {}},
                                   .scale = 0.5},
                                  {.change = Difference{at::randn(weight.sizes())}, .bias = at::randn({6})},
                                  {.change = Difference{}, .bias = at::randn({6})}};
    LayerAdapters adapters;
    auto changed = weight, changed_bias = bias;
    for (const auto& kind : kinds) {
      adapters.uses.push_back({.adapter = std::make_shared<const LayerAdapter>(kind), .weight = -0.4});
      if (&kind != &kinds[3]) changed = changed - 0.4 * delta_weight(kind, weight.sizes());
      if (kind.bias.defined()) changed_bias = changed_bias - 0.4 * kind.bias;
    }
    const auto found =
        apply_adapters(adapters, {.input = x, .weight = weight, .bias = bias, .stride = 2, .padding = 1});
    EXPECT_LT(max_difference(found, run_layer(x, changed, changed_bias)), 10 * kRounding) << name;
  }
}

// Computing them takes the whole changed weight, which costs as much as the layer.
TEST(LayerAdapter, NormsAreComputedOnce) {
  for (const auto rule : {Magnitude::Rule::kPeft, Magnitude::Rule::kLycoris}) {
    auto [name, adapter, weight] = cases()[0];
    adapter.magnitude = {.lengths = at::randn({6, 1}).abs(), .rule = rule};
    const auto adapters = single_adapter(adapter, 0.5);
    const auto x = at::randn({3, 5, 8});
    const LayerCall call{.input = x, .weight = weight, .bias = {}};
    const auto first = apply_adapters(adapters, call);
    const auto not_again = []() -> at::Tensor { throw std::logic_error("computed twice"); };
    const auto gain = adapters.uses[0].gain->get(not_again);
    ASSERT_TRUE(gain.defined());
    EXPECT_TRUE(at::equal(apply_adapters(adapters, call), first));
    EXPECT_TRUE(adapters.uses[0].gain->get(not_again).is_same(gain));
  }
}

/// A layer with the table that it is recorded in.
struct RecordedLayer {
  RecordedLayer()
      : weights(std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{{"proj.weight", at::randn({6, 8})},
                                                                                {"proj.bias", at::randn({6})}}),
                {}),
        layer(ModuleScope(weights.root(), table) / "proj", 8, 6),
        slot(table->slots().at("proj")) {}

  BoundAdapter bind(const std::string& id, const LayerAdapter& adapter) const {
    BoundAdapter bound{.id = id, .layers = {}, .bytes = 0};
    bound.layers.push_back({table, slot, std::make_shared<const LayerAdapter>(adapter)});
    return bound;
  }

  std::shared_ptr<LayerTable> table = std::make_shared<LayerTable>();
  Weights weights;
  Linear layer;
  std::shared_ptr<LayerSlot> slot;
};

TEST(AdapterSet, ChangesOnlyTheCallsItIsPassedTo) {
  const RecordedLayer recorded;
  const auto& [table, weights, layer, slot] = recorded;
  EXPECT_EQ(slot->shape, (std::vector<std::int64_t>{6, 8}));
  const auto x = at::randn({2, 8});
  const auto plain = layer(x, {});

  const auto bound = recorded.bind("1", cases()[0].adapter);
  AdapterSet set, of_unets;
  set.add(bound, {});
  EXPECT_NE(set.key_of(*table), "");
  EXPECT_EQ(set.key_of(LayerTable{}), "");
  of_unets.add(bound, {.text_encoders = 0});
  EXPECT_EQ(of_unets.key_of(*table), "") << "the table is of no UNet";
  EXPECT_NE(of_unets.key(), "");
  EXPECT_GT(max_difference(layer(x, {.adapters = &set}), plain), 0.1);
  EXPECT_TRUE(at::equal(layer(x, {}), plain));
  EXPECT_TRUE(at::equal(layer(x, {.adapters = &of_unets}), plain));
  EXPECT_NE(set.find(slot), nullptr);
  EXPECT_EQ(of_unets.find(slot), nullptr);
  EXPECT_EQ(set.find(std::make_shared<LayerSlot>(*slot)), nullptr) << "another model's layer of that name";
}

KroneckerProduct kronecker(const at::Tensor& w1, const at::Tensor& w2) {
  return {.w1 = {.whole = w1, .a = {}, .b = {}, .t = {}}, .w2 = {.whole = w2, .a = {}, .b = {}, .t = {}}};
}

// Such a delta is as large as the weight of its layer.
TEST(AdapterSet, DeltasOfDenoisingModelsAreKeptWhileThereIsRoom) {
  const LayerAdapter lokr{.change = kronecker(at::randn({2, 2}), at::randn({3, 4})), .scale = 0.5};
  constexpr std::size_t kBytes = 6 * 8 * sizeof(float);
  const auto x = at::randn({2, 8});
  const RecordedLayer recorded;
  recorded.table->component = Component::kUnet;
  const auto memory = std::make_shared<DeltaMemory>(kBytes);
  AdapterSet none_kept;
  none_kept.add(recorded.bind("1", lokr), {});
  const auto wanted = recorded.layer(x, {.adapters = &none_kept});
  const auto products_of_calls = [&](const AdapterSet& set) {
    const testing::OperatorCounter products({"aten::kron"});
    for (int call = 0; call < 3; ++call) {
      EXPECT_TRUE(at::equal(recorded.layer(x, {.adapters = &set}), wanted));
    }
    return products.count();
  };
  EXPECT_EQ(products_of_calls(none_kept), 3);
  {
    AdapterSet first(memory), second(memory);
    first.add(recorded.bind("1", lokr), {});
    second.add(recorded.bind("1", lokr), {});
    EXPECT_EQ(products_of_calls(first), 1);
    EXPECT_EQ(memory->taken(), kBytes);
    EXPECT_EQ(products_of_calls(second), 3) << "there is no more room";
  }
  EXPECT_EQ(memory->taken(), 0u);
  memory->set_limit(kBytes - 1);
  AdapterSet third(memory);
  third.add(recorded.bind("1", lokr), {});
  EXPECT_EQ(products_of_calls(third), 3);
  recorded.table->component = Component::kTextEncoder;
  memory->set_limit(kBytes);
  AdapterSet of_text(memory);
  of_text.add(recorded.bind("1", lokr), {});
  EXPECT_EQ(products_of_calls(of_text), 3) << "a text encoder is called once for an image";
}

// In half precision, where deltas are not added to the weight.
TEST(AdapterSet, KeptDeltasChangeNoBit) {
  constexpr std::size_t kPlenty = 1 << 20;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto weight = at::randn({6, 8}).to(dtype), x = at::randn({3, 8}).to(dtype);
    const auto random = [&](at::IntArrayRef shape) { return at::randn(shape).to(dtype); };
    const LayerAdapter adapters[] = {
        {.change = kronecker(random({2, 2}), random({3, 4})), .scale = 0.3},
        {.change = HadamardProduct{random({6, 2}), random({2, 8}), random({6, 2}), random({2, 8}), {}, {}},
         .scale = 0.7,
         .magnitude = Magnitude{.lengths = random({6, 1}).abs(), .rule = Magnitude::Rule::kLycoris}},
        {.change = Difference{random({6, 8})}},
    };
    for (const auto& adapter : adapters) {
      auto keeps = single_adapter(adapter, 0.6);
      keeps.uses[0].delta = std::make_shared<KeptDelta>(std::make_shared<DeltaMemory>(kPlenty));
      const LayerCall call{.input = x, .weight = weight, .bias = {}};
      const auto wanted = apply_adapters(single_adapter(adapter, 0.6), call);
      for (int i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(apply_adapters(keeps, call), wanted)) << toString(dtype);
    }
  }
}

// As lycoris_lora's NormModule: the norm itself, and one with the changes as its weight and bias.
TEST(AdapterSet, NormsAddTheChangesOfTheirWeightAndBias) {
  const auto table = std::make_shared<LayerTable>();
  const std::map<std::string, at::Tensor> tensors = {{"group.weight", at::randn({6})},
                                                     {"group.bias", at::randn({6})},
                                                     {"layer.weight", at::randn({6})},
                                                     {"layer.bias", at::randn({6})}};
  Weights weights(std::make_shared<MemoryStore>(tensors), {});
  const ModuleScope scope(weights.root(), table);
  const GroupNorm group(scope / "group", 2, 6, 1e-5);
  const LayerNorm layer(scope / "layer", 6);
  const auto change = at::randn({6}), bias = at::randn({6});
  AdapterSet set;
  for (const char* name : {"group", "layer"}) {
    const auto adapter = std::make_shared<const LayerAdapter>(LayerAdapter{.change = Difference{change}, .bias = bias});
    const auto of_bias = std::make_shared<const LayerAdapter>(LayerAdapter{.change = Difference{}, .bias = bias});
    set.add({.id = concat(name, 1), .layers = {{table, table->slots().at(name), adapter}}}, {.text_encoders = 0.5});
    set.add({.id = concat(name, 2), .layers = {{table, table->slots().at(name), of_bias}}}, {.text_encoders = 2});
  }
  const auto map = at::randn({2, 6, 3, 5}), rows = at::randn({2, 6});
  const auto weight_of = [&](const std::string& name) { return tensors.at(name + ".weight") + 0.5 * change; };
  const auto bias_of = [&](const std::string& name) { return tensors.at(name + ".bias") + 2.5 * bias; };
  const RunContext adapted{.adapters = &set};
  EXPECT_LT(max_difference(group(map, adapted), at::group_norm(map, 2, weight_of("group"), bias_of("group"))), 1e-5);
  EXPECT_LT(max_difference(layer(rows, adapted), at::layer_norm(rows, {6}, weight_of("layer"), bias_of("layer"))),
            1e-5);
  EXPECT_TRUE(
      at::equal(layer(rows, {}), at::layer_norm(rows, {6}, tensors.at("layer.weight"), tensors.at("layer.bias"))));
}

// Two requests with different adapters may use one model at the same time, and one set may be used by several calls.
TEST(AdapterSet, TwoThreadsUseTwoAdaptersOnOneLayer) {
  const RecordedLayer recorded;
  auto lora = cases()[0].adapter, dora = cases()[0].adapter;
  dora.magnitude = {.lengths = at::randn({6, 1}).abs(), .rule = Magnitude::Rule::kPeft};
  const auto x = at::randn({2, 8});
  std::vector<at::Tensor> wanted;
  std::vector<AdapterSet> sets(2);
  for (const auto& adapter : {lora, dora}) {
    AdapterSet own;  // a set of its own, so that the threads below compute the gains again
    own.add(recorded.bind(std::to_string(wanted.size()), adapter), {});
    sets[wanted.size()].add(recorded.bind(std::to_string(wanted.size()), adapter), {});
    wanted.push_back(recorded.layer(x, {.adapters = &own}));
  }
  ASSERT_GT(max_difference(wanted[0], wanted[1]), 0.1);

  constexpr int kThreads = 4, kCalls = 200;
  std::atomic<int> different = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, mine = static_cast<std::size_t>(t % 2)] {
      for (int i = 0; i < kCalls; ++i) {
        if (!at::equal(recorded.layer(x, {.adapters = &sets[mine]}), wanted[mine])) ++different;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(different, 0);
}

}  // namespace
}  // namespace easel
