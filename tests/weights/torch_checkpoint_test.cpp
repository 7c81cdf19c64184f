#include "weights/stores/torch_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "../fuzz/mutate.h"
#include "samples.h"
#include "support.h"
#include "tensor_support.h"

namespace easel {
namespace {

using testing::HasSubstr;

std::string fault(const std::string& name) {
  return error_of([&] { TorchCheckpoint(reference(name)); });
}

TEST(TorchCheckpoint, StridesOffsetsAndSharingArePreserved) {
  const SafetensorsFile expected(reference("tricky.safetensors"));
  EXPECT_EQ(expected.names().size(), 19u);
  for (const std::string name :
       {"tricky.bin", "tricky_legacy.bin", "tricky_protocol_4.bin", "nested.bin", "lightning.ckpt",
        "lightning_legacy.ckpt", "leftovers.ckpt", "leftovers_between.ckpt", "leftovers_legacy.ckpt"}) {
    SCOPED_TRACE(name);
    expect_same_tensors(TorchCheckpoint(reference(name)), expected);
  }
}

TEST(TorchCheckpoint, GlobalStepIsRead) {
  EXPECT_EQ(TorchCheckpoint(reference("lightning.ckpt")).global_step(), 875000);
  EXPECT_EQ(TorchCheckpoint(reference("nested.bin")).global_step(), std::nullopt);
}

TEST(TorchCheckpoint, TensorsThatWouldBeLostAreAnError) {
  EXPECT_THAT(fault("two_dicts.bin"), HasSubstr("`optimizer` is not a tensor"));
}

TEST(TorchCheckpoint, ReadsAModuleStateDict) {
  expect_same_tensors(TorchCheckpoint(reference("with_metadata.bin")),
                      SafetensorsFile(reference("single/diffusion_pytorch_model.safetensors")));
}

TEST(TorchCheckpoint, TensorsOutliveTheStoreAndStayReadableWhenReleased) {
  std::optional<TorchCheckpoint> checkpoint(reference("tricky.bin"));
  const auto tensor = checkpoint->read("transposed");
  const auto copy = tensor.clone();
  checkpoint->release("transposed");
  EXPECT_EQ(checkpoint->find("transposed")->file, "tricky.bin");
  EXPECT_THAT(error_of([&] { checkpoint->read("x"); }), HasSubstr("not_found: "));
  checkpoint.reset();
  EXPECT_TRUE(same(tensor, copy));
}

TEST(TorchCheckpoint, MaliciousPicklesAreRejectedByNameAndNeverRun) {
  for (const std::string name : {"attack.bin", "attack_legacy.bin"}) {
    EXPECT_EQ(fault(name),
              "unsupported: " + reference(name) +
                  ": the pickle asks for `posix.system`, which no state dict needs; nothing of it was run");
  }
  EXPECT_EQ(fault("attack_plain.bin"),
            "corrupt_data: " + reference("attack_plain.bin") + ": torch.save did not write this file");
  EXPECT_FALSE(std::filesystem::exists(reference("attacked")));
}

TEST(TorchCheckpoint, NonTensorValuesAreNamedInErrors) {
  EXPECT_THAT(fault("complex.bin"), HasSubstr("asks for `torch.ComplexFloatStorage`"));
  EXPECT_THAT(fault("sparse.bin"), HasSubstr("asks for `torch._utils._rebuild_sparse_tensor`"));
  EXPECT_THAT(fault("module.bin"), HasSubstr("asks for `torch.nn.modules.linear.Linear`"));
}

TEST(TorchCheckpoint, InconsistentArchivesAreRejected) {
  EXPECT_THAT(fault("deflated.bin"), HasSubstr("is compressed or encrypted, which torch.save never does"));
  EXPECT_THAT(fault("big_endian.bin"), HasSubstr("was written on a big-endian machine"));
  EXPECT_THAT(fault("no_storage.bin"),
              HasSubstr("corrupt_data: " + reference("no_storage.bin") + ": storage `0` is not in the archive"));
  EXPECT_THAT(fault("short_storage.bin"), HasSubstr(": storage `0` has 239 bytes, expected 240"));
  EXPECT_THAT(fault("no_pickle.bin"), HasSubstr("the zip archive holds no data.pkl"));
  EXPECT_THAT(fault("bomb.bin"), HasSubstr("tensor `bomb` of shape [1048576, 1048576] makes the tensors take over "));
}

TEST(TorchCheckpoint, OtherFileFormatsAreRejected) {
  const TemporaryFolder folder;
  const auto of = [&](const std::string& contents) {
    return error_of([&] { TorchCheckpoint(folder.write("x.bin", contents)); });
  };
  EXPECT_THAT(of(""), HasSubstr("torch.save did not write this file"));
  EXPECT_THAT(of(samples::valid_safetensors()), HasSubstr("torch.save did not write this file"));
  EXPECT_THAT(of(std::string(257, '\0') + "ustar  " + std::string(512, '\0')),
              HasSubstr("is a tar file of torch before"));
  EXPECT_THAT(of(samples::zip("archive/data.pkl", samples::pickle("N"))),
              HasSubstr("something else than a dict of tensors"));
  const std::string huge = samples::pickle(
      "}" + samples::text("w") + samples::tensor(samples::storage("LongStorage", "0", INT64_MAX), 0, "", "") + "s");
  EXPECT_THAT(of(samples::zip("archive/data.pkl", huge)), HasSubstr("storage `0` is not in the archive"));
}

TEST(TorchCheckpoint, InconsistentLegacyFilesAreRejected) {
  const std::string whole = read_file(reference("tricky_legacy.bin"));
  const TemporaryFolder folder;
  const auto of = [&](const std::string& contents) {
    return error_of([&] { TorchCheckpoint(folder.write("x.bin", contents)); });
  };
  EXPECT_THAT(of(whole.substr(0, whole.size() - 1)), HasSubstr("is cut off"));
  EXPECT_THAT(of(whole.substr(0, 15)), HasSubstr("is cut off"));
  std::string version = whole;
  version[18] = 0;  // of the protocol number 1001
  EXPECT_THAT(of(version), HasSubstr("it is of an unknown version"));
}

// Files of real size, where the damage hits pickle, directory and numbers alike.
TEST(TorchCheckpoint, AnyCorruptionLoadsOrThrowsError) {
  const TemporaryFolder folder;
  std::mt19937_64 random(13);
  for (const std::string name : {"tricky.bin", "tricky_legacy.bin"}) {
    const std::string whole = read_file(reference(name));
    int loaded = 0;
    for (int i = 0; i < 400; ++i) {
      const std::string path = folder.write("x.bin", mutate(whole, random));
      try {
        const TorchCheckpoint checkpoint(path);
        for (const auto& tensor : checkpoint.names()) checkpoint.read(tensor).contiguous();
        ++loaded;
      } catch (const Error&) {
        // The other right outcome: the file is refused.
      }
    }
    EXPECT_GT(loaded, 10) << name;
    EXPECT_LT(loaded, 390) << name;
  }
}

}  // namespace
}  // namespace easel
