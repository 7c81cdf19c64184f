#include "nn/unet/resample.h"

#include <gtest/gtest.h>

#include "block_vectors.h"
#include "core/text.h"

namespace easel {
namespace {

TEST(Downsample2D, AgreesWithDiffusers) {
  for (const std::int64_t padding : {0, 1}) {
    SCOPED_TRACE(padding);
    testing::BlockVectors block(concat("downsample_", padding));
    const Downsample2D downsample(block.scope(), 6, padding);
    block.expect(downsample(block.input(0), {}));
  }
}

TEST(Upsample2D, AgreesWithDiffusersAtEverySize) {
  for (const auto& [height, width] : {std::pair{14, 8}, {13, 7}, {15, 9}}) {
    SCOPED_TRACE(concat(height, "x", width));
    testing::BlockVectors block(concat("upsample_", height, "x", width));
    const Upsample2D upsample(block.scope(), 6);
    block.expect(upsample(block.input(0), {height, width}, {}));
  }
}

// Above 63 rows another memory format is used; the results stay the same.
TEST(Upsample2D, LargeBatchGivesTheSameRows) {
  testing::BlockVectors block("upsample_13x7");
  const Upsample2D upsample(block.scope(), 6);
  const auto one = block.input(0).narrow(0, 0, 1).contiguous(at::MemoryFormat::ChannelsLast);
  const auto many = upsample(one.repeat({64, 1, 1, 1}), {13, 7}, {});
  EXPECT_TRUE(testing::all_near(many.narrow(0, 63, 1), upsample(one, {13, 7}, {}), 1e-5));
}

}  // namespace
}  // namespace easel
