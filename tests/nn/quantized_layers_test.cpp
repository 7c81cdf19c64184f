// Layers whose weights stay in blocks: equal to layers of the decoded weights, with no more memory than those need.
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "easel/noise.h"
#include "nn/adapter_set.h"
#include "nn/layer_adapter.h"
#include "nn/layers.h"
#include "support/counting_allocator.h"
#include "support/reference_vectors.h"
#include "support/temporary_folder.h"
#include "weights/convert/gguf_writer.h"
#include "weights/loading/weights.h"
#include "weights/stores/gguf_file.h"
#include "weights/stores/memory_store.h"
#include "weights/stores/quantizing_store.h"

namespace easel {
namespace {

constexpr std::int64_t kWide = 1024, kNarrow = 512;

/// Two layers in numbered blocks and a table, in float16.
std::shared_ptr<const TensorStore> plain_store() {
  NoiseSource noise(11);
  const auto half = [&](const std::vector<std::int64_t>& shape) {
    return noise.normal(shape).mul_(0.05).to(at::kHalf);
  };
  return std::make_shared<MemoryStore>(std::map<std::string, at::Tensor>{{"0.in.weight", half({kWide, kNarrow})},
                                                                         {"0.in.bias", half({kWide})},
                                                                         {"1.out.weight", half({kNarrow, kWide})},
                                                                         {"2.table.weight", half({40, kNarrow})}});
}

/// The same weights, decoded once.
std::shared_ptr<const TensorStore> decoded(const TensorStore& store) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : store.names()) tensors[name] = store.read(name).to(at::kFloat);
  return std::make_shared<MemoryStore>(tensors);
}

at::Tensor ids() {
  return at::arange(0, 40, 3).view({2, 7});
}

/// What Layers::run computes, by the layers' own operation on weights that were decoded once.
at::Tensor run_by_hand(const TensorStore& store, c10::ScalarType dtype) {
  const auto weight = [&](const std::string& name) { return store.read(name).to(at::kFloat).to(dtype); };
  const auto table = weight("2.table.weight"), in = weight("0.in.weight"), in_bias = weight("0.in.bias"),
             out = weight("1.out.weight");
  const auto tokens = at::embedding(table, ids()).add(table.narrow(0, 0, 1));
  const at::Tensor none;
  const auto hidden = run_layer(LayerCall{.input = tokens, .weight = in, .bias = in_bias});
  return run_layer(LayerCall{.input = hidden, .weight = out, .bias = none});
}

struct Layers {
  Layers(std::shared_ptr<const TensorStore> store, const Placement& placement)
      : weights(std::move(store), placement),
        table(std::make_shared<LayerTable>()),
        scope(weights.root(), table),
        in(scope / "0" / "in", kNarrow, kWide),
        out(scope / "1" / "out", kWide, kNarrow, Bias::kNone),
        tokens(scope / "2" / "table", 40, kNarrow) {
    weights.finish();
  }
  at::Tensor run(const at::Tensor& ids, const RunContext& ctx = {}) const {
    return out(in(tokens(ids).add(tokens.first(1)), ctx), ctx);
  }

  Weights weights;
  std::shared_ptr<LayerTable> table;
  ModuleScope scope;
  Linear in, out;
  Embedding tokens;
};

TEST(QuantizedLayers, EqualLayersOfTheDecodedWeightsToTheBit) {
  for (const auto quantization : {WeightQuantization::kFloat8, WeightQuantization::kQ8_0}) {
    const auto store = quantizing(plain_store(), quantization);
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const Placement placement{.device = at::kCPU, .dtype = dtype};
      const auto actual = Layers(store, placement).run(ids());
      EXPECT_EQ(actual.scalar_type(), dtype);
      EXPECT_TRUE(actual.equal(run_by_hand(*store, dtype)));
    }
  }
}

TEST(QuantizedLayers, PlainFloat8StaysAsItIsStored) {
  std::map<std::string, at::Tensor> tensors;
  const auto plain = plain_store();
  for (const auto& name : plain->names()) tensors[name] = plain->read(name).to(at::ScalarType::Float8_e4m3fn);
  const auto store = std::make_shared<MemoryStore>(tensors);
  const Placement placement{.device = at::kCPU, .dtype = at::kFloat};
  EXPECT_TRUE(Layers(store, placement).run(ids()).equal(run_by_hand(*store, at::kFloat)));
  const auto held = testing::peak_allocated_bytes([&] { Layers(store, placement); });
  EXPECT_LT(held, kWide * kNarrow) << "no matrix was converted when it was loaded";
}

TEST(QuantizedLayers, AdaptersChangeThemAsTheyChangeDecodedOnes) {
  const auto store = quantizing(plain_store(), WeightQuantization::kQ8_0);
  const auto run = [&](std::shared_ptr<const TensorStore> weights, bool whole) {
    const Layers layers(std::move(weights), {.device = at::kCPU, .dtype = at::kFloat});
    NoiseSource noise(12);
    LayerAdapter change{
        .change =
            LowRank{.down = noise.normal({4, kNarrow}), .mid = {}, .up = noise.normal({kWide, 4}), .up_bias = {}}};
    if (whole) change.change = Difference{.weight = noise.normal({kWide, kNarrow})};
    AdapterSet set;
    BoundAdapter bound{.id = "a", .layers = {}};
    bound.layers.push_back({.model = layers.table,
                            .slot = layers.table->slots().at("0.in"),
                            .adapter = std::make_shared<LayerAdapter>(change)});
    set.add(bound, {.unet = 0.7, .text_encoders = 0.7});
    return layers.run(ids(), {.adapters = &set});
  };
  for (const bool whole : {false, true}) {
    const auto adapted = run(store, whole);
    // The layer of decoded weights may multiply them by another kernel.
    EXPECT_TRUE(testing::all_near(adapted, run(decoded(*store), whole), 1e-4 * adapted.abs().max().item<double>()));
    EXPECT_FALSE(adapted.equal(Layers(store, {.device = at::kCPU, .dtype = at::kFloat}).run(ids())));
  }
}

/// What a device would hold: an offloader copies every tensor of a component to it.
std::int64_t resident_bytes(const std::shared_ptr<const TensorStore>& store) {
  std::int64_t bytes = 0;
  const auto offloader = std::make_shared<ComponentOffloader>([&](const at::Tensor& host) {
    bytes += static_cast<std::int64_t>(host.nbytes());
    return host.clone();
  });
  const Layers layers(store, {.device = at::kCPU, .dtype = at::kFloat, .offloader = offloader});
  layers.scope.offload_handle().make_resident();
  EXPECT_TRUE(layers.run(ids()).equal(Layers(store, {.device = at::kCPU, .dtype = at::kFloat}).run(ids())));
  return bytes;
}

TEST(QuantizedLayers, TakeTheMemoryOfTheirFile) {
  constexpr double kTolerance = 0.03;
  TemporaryFolder folder;
  write_gguf(folder.path("m.gguf"), *quantizing(plain_store(), WeightQuantization::kQ8_0), {});
  const auto file_bytes = static_cast<double>(std::filesystem::file_size(folder.path("m.gguf")));
  const auto resident = static_cast<double>(resident_bytes(std::make_shared<GgufFile>(folder.path("m.gguf"))));
  EXPECT_NEAR(resident / file_bytes, 1.0, kTolerance);
}

TEST(QuantizedLayers, DecodeOneLayerAtATime) {
  const Layers layers(quantizing(plain_store(), WeightQuantization::kQ8_0), {.device = at::kCPU, .dtype = at::kFloat});
  layers.run(ids());
  const auto peak = testing::peak_allocated_bytes([&] { layers.run(ids()); });
  const auto layer = kWide * kNarrow * static_cast<std::int64_t>(sizeof(float));
  EXPECT_GE(peak, layer);
  EXPECT_LT(peak, layer + layer / 4) << "activations and workspaces, and no second matrix";
}

}  // namespace
}  // namespace easel
