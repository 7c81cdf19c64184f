#include "weights/format/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../fuzz/mutate.h"
#include "samples.h"
#include "support.h"

namespace easel {
namespace {

using samples::global;
using samples::integer;
using samples::pickle;
using samples::storage;
using samples::tensor;
using samples::text;
using samples::tuple;
using testing::AllOf;
using testing::HasSubstr;

Pickle read(const std::string& bytes) {
  return read_pickle(samples::as_bytes(bytes), "f.bin");
}

std::string fault(const std::string& body) {
  return error_of([&] { state_dict_of(read(pickle(body)), "f.bin"); });
}

TEST(Pickle, TensorsAreStridedViewsOfStorages) {
  const Pickle parsed = read(samples::valid_pickle() + "what follows is not read");
  EXPECT_EQ(parsed.size, samples::valid_pickle().size());
  const auto tensors = state_dict_of(parsed, "f.bin");
  ASSERT_EQ(tensors.size(), 2u);
  const auto& w = *tensors.at("w");
  EXPECT_EQ(w.storage, "0");
  EXPECT_EQ(w.offset, 1);
  EXPECT_EQ(w.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(w.strides, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(w.extent, 6);
  EXPECT_EQ(parsed.storages.at("0").dtype->name, "F32");
  EXPECT_EQ(parsed.storages.at("0").size, 8);
  EXPECT_TRUE(tensors.at("b")->shape.empty());
  EXPECT_EQ(tensors.at("b")->extent, 1);
  EXPECT_EQ(parsed.storages.at("1").dtype->name, "I64");
}

TEST(Pickle, NumbersMatchPythonEncoding) {
  const auto number = [](const std::string& body) { return *read(pickle(body)).root->as<std::int64_t>(); };
  EXPECT_EQ(number(std::string("\x8a\x00", 2)), 0);
  EXPECT_EQ(number(std::string("\x8a\x01\xff", 3)), -1);
  EXPECT_EQ(number(std::string("\x8a\x02\x00\x80", 4)), -32768);
  EXPECT_EQ(number(std::string("\x8a\x02\xff\x00", 4)), 255);
  EXPECT_EQ(number(std::string("J\xfe\xff\xff\xff", 5)), -2);
  EXPECT_EQ(number(std::string("M\x01\x02", 3)), 513);
  EXPECT_EQ(*read(pickle(std::string("G\xc0\x04\0\0\0\0\0\0", 9))).root->as<double>(), -2.5);
  EXPECT_EQ(read(pickle("\x8a\x09"
                        "123456789"))
                .root->as<PickleBytes>()
                ->bytes,
            "123456789");
}

TEST(Pickle, SharedAndRepeatedValuesAreResolved) {
  // d = OrderedDict([("a", t)]); d["b"] = t; d["a"] = u: the later "a" counts.
  const std::string t = tensor(storage("HalfStorage", "0", 4), 0, integer(4), integer(1));
  const std::string u = tensor(storage("HalfStorage", "0", 4), 1, integer(2), integer(1));
  const Pickle parsed =
      read(pickle(global("collections", "OrderedDict") + tuple("](" + text("a") + t + "q\x05" + "\x86" + "e") + "R" +
                  text("b") + "h\x05s" + text("a") + u + "s"));
  const auto tensors = state_dict_of(parsed, "f.bin");
  EXPECT_EQ(tensors.at("b")->shape, std::vector<std::int64_t>{4});
  EXPECT_EQ(tensors.at("a")->shape, std::vector<std::int64_t>{2});
}

TEST(Pickle, NestedStateDictIsUsed) {
  const std::string t = tensor(storage("FloatStorage", "0", 1), 0, "", "");
  const Pickle parsed =
      read(pickle("}(" + text("epoch") + integer(3) + text("state_dict") + "}" + text("w") + t + "s" + "u"));
  EXPECT_EQ(state_dict_of(parsed, "f.bin").count("w"), 1u);
  EXPECT_EQ(fault("}" + text("state_dict") + "Ns"), "unsupported: f.bin holds something else than a dict of tensors");
}

TEST(Pickle, TextualInversionIsFoundAmongOtherValues) {
  const auto vector = tensor(storage("FloatStorage", "0", 6), 0, integer(2) + integer(3), integer(3) + integer(1));
  const auto names = [](const std::string& body) {
    const auto parsed = read(pickle(body));
    std::string found;
    for (const auto& [name, tensor] : textual_inversion_of(parsed, "f.bin")) found += "<" + name + ">";
    return found;
  };
  EXPECT_EQ(names("}(" + text("string_to_token") + "}" + text("*") + integer(265) + "s" + text("string_to_param") +
                  "}" + text("*") + vector + "s" + text("name") + text("x") + text("step") + "Nu"),
            "<*>");
  EXPECT_EQ(names("}(" + text("clip_l") + vector + text("clip_g") + vector + text("note") + text("x") + "u"),
            "<clip_g><clip_l>");
  EXPECT_EQ(names(vector), "<>");
  EXPECT_THROW(names("]"), Error);
  EXPECT_THROW(names("}" + text("string_to_param") + "Ns"), Error);
}

TEST(Pickle, OtherFunctionsAreRejectedByName) {
  const auto refusal = [](const std::string& name) {
    return "unsupported: f.bin: the pickle asks for `" + name + "`, which no state dict needs; nothing of it was run";
  };
  EXPECT_EQ(fault(global("posix", "system") + tuple(text("true")) + "R"), refusal("posix.system"));
  EXPECT_EQ(fault(global("builtins", "eval") + tuple(text("1")) + "R"), refusal("builtins.eval"));
  EXPECT_EQ(fault(text("os") + text("system") + "\x93" + tuple(text("true")) + "R"), refusal("os.system"));
  EXPECT_EQ(fault(global("torch", "load")), refusal("torch.load"));
  EXPECT_EQ(fault(global("torch._utils", "_rebuild_sparse_tensor")), refusal("torch._utils._rebuild_sparse_tensor"));
  EXPECT_EQ(fault(global("torch", "ComplexFloatStorage")), refusal("torch.ComplexFloatStorage"));
  // A dot in a name would make Python walk attributes.
  EXPECT_EQ(fault(text("collections") + text("OrderedDict.__init__") + "\x93"),
            refusal("collections.OrderedDict.__init__"));
  EXPECT_THAT(fault(global("a\x01" + std::string(500, 'x'), "y")),
              AllOf(HasSubstr("`a\\x01xxx"), HasSubstr("xx.y` (504 bytes)")));
}

TEST(Pickle, TrainingLeftoversAreIgnored) {
  const std::string t = tensor(storage("FloatStorage", "0", 1), 0, "", "");
  const std::string callback = global("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint");
  const std::string dtype = global("numpy", "dtype") + tuple(text("f8")) + "R" + tuple(integer(3) + text("<")) + "b";
  const std::string number = global("numpy.core.multiarray", "scalar") + tuple(dtype + text("12345678")) + "R";
  const Pickle parsed = read(pickle("}(" + text("state_dict") + "}" + text("w") + t + "s" + text("callbacks") + "}" +
                                    callback + number + "su"));
  EXPECT_EQ(state_dict_of(parsed, "f.bin").count("w"), 1u);
  EXPECT_THAT(fault("}" + text("w") + number + "s"), HasSubstr("`w` is not a tensor"));
  EXPECT_THAT(fault(callback + tuple(text("x")) + "R"), HasSubstr("calls `pytorch_lightning.callbacks."));
  EXPECT_THAT(fault(global("pytorch_lightning.callbacks", "Other")), HasSubstr("asks for `pytorch_lightning."));
}

TEST(Pickle, OpcodesNotWrittenByTorchAreRejected) {
  EXPECT_EQ(fault("I42\n"), "unsupported: f.bin: the pickle has opcode 73 at byte 2, which torch.save does not write");
  EXPECT_THAT(fault("(" + text("x") + "i"), HasSubstr("opcode 105"));       // INST
  EXPECT_THAT(fault("(" + text("x") + "o"), HasSubstr("opcode 111"));       // OBJ
  EXPECT_THAT(fault("Pid\n"), HasSubstr("opcode 80"));                      // PERSID
  EXPECT_THAT(fault(std::string("\x82\x01", 2)), HasSubstr("opcode 130"));  // EXT1
}

TEST(Pickle, TensorsOutsideTheirStorageAreRejected) {
  const std::string eight = storage("FloatStorage", "0", 8);
  const auto one = [&](std::int64_t offset, const std::string& shape, const std::string& strides) {
    return fault("}" + text("w") + tensor(eight, offset, shape, strides) + "s");
  };
  EXPECT_EQ(one(0, integer(8), integer(1)), "no error");
  EXPECT_EQ(one(8, integer(0), integer(1)), "no error");
  EXPECT_EQ(one(0, integer(5) + integer(0), integer(99) + integer(1)), "no error");
  EXPECT_EQ(
      one(1, integer(8), integer(1)),
      "corrupt_data: f.bin: a tensor of shape [8] and strides [1] from element 1 reaches outside storage `0` of 8");
  EXPECT_THAT(one(9, integer(0), integer(1)), HasSubstr("reaches outside storage `0` of 8"));
  EXPECT_THAT(one(0, integer(3), integer(4)), HasSubstr("reaches outside storage `0` of 8"));
  EXPECT_THAT(one(INT64_MAX, integer(1), integer(1)), HasSubstr("reaches outside storage `0` of 8"));
  EXPECT_THAT(one(0, integer(INT64_MAX) + integer(3), integer(1) + integer(1)),
              HasSubstr("is larger than memory can be"));
  EXPECT_THAT(one(0, integer(3), integer(INT64_MAX)), HasSubstr("is larger than memory can be"));
  EXPECT_THAT(one(-1, integer(1), integer(1)), HasSubstr("a tensor's offset in the pickle is not a size"));
  EXPECT_THAT(one(0, integer(-1), integer(1)), HasSubstr("a shape in the pickle is not a size"));
  EXPECT_THAT(one(7, integer(2), integer(-1)), HasSubstr("a stride in the pickle is not a size"));
  EXPECT_THAT(one(0, integer(2), ""), HasSubstr("has 0 strides"));
  std::string many;
  for (int i = 0; i < 8; ++i) many += integer(1);
  EXPECT_EQ(one(0, many, many), "no error");
  EXPECT_THAT(one(0, many + integer(1), many + integer(1)), HasSubstr("more than 8 entries"));
}

// Every tensor takes memory for its shape, however few bytes of the pickle name it.
TEST(Pickle, ShapesCountTowardsTheLengthOfThePickle) {
  std::string ones;
  for (int i = 0; i < 8; ++i) ones += integer(1);
  const std::string begin = global("torch._utils", "_rebuild_tensor_v2") + "q\x01" + "0" + tuple(ones) + "q\x02" + "0" +
                            storage("FloatStorage", "0", 8) + "q\x03" + "0";
  const std::string again = "h\x01(h\x03K" + std::string(1, '\0') + "h\x02h\x02tR" + "0";
  const auto of = [&](int tensors) {
    std::string body = begin;
    for (int i = 0; i < tensors; ++i) body += again;
    return fault(body + "}");
  };
  EXPECT_EQ(of(1000), "no error");
  EXPECT_EQ(of(200'000), "unsupported: f.bin: the pickle is longer than a state dict's can be");
}

TEST(Pickle, ContradictoryStoragesAreRejected) {
  const auto both = [](const std::string& first, const std::string& second) {
    return fault("}(" + text("a") + tensor(first, 0, "", "") + text("b") + tensor(second, 0, "", "") + "u");
  };
  EXPECT_EQ(both(storage("FloatStorage", "0", 8), storage("HalfStorage", "0", 8)),
            "corrupt_data: f.bin: storage `0` is 8 of F32 in one place and 8 of F16 in another");
  EXPECT_THAT(both(storage("FloatStorage", "0", 8), storage("FloatStorage", "0", 9)),
              HasSubstr("and 9 of F32 in another"));
  EXPECT_EQ(both(storage("FloatStorage", "0", 8), storage("FloatStorage", "0", 8)), "no error");
  const std::string no_storage = "corrupt_data: f.bin: the pickle has a persistent id that is not a storage";
  EXPECT_EQ(fault(text("storage") + "Q"), no_storage);
  EXPECT_EQ(fault(tuple(text("module") + global("torch", "FloatStorage") + text("0") + text("cpu") + integer(1)) + "Q"),
            no_storage);
  EXPECT_EQ(fault(tuple(text("storage") + text("FloatStorage") + text("0") + text("cpu") + integer(1)) + "Q"),
            no_storage);
  EXPECT_THAT(fault(storage("FloatStorage", "0", -1)), HasSubstr("a storage's size in the pickle is not a size"));
}

TEST(Pickle, LegacyStorageViewsOffsetTheTensor) {
  const auto view = [](std::int64_t offset, std::int64_t size) {
    return tuple(text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") + integer(10) +
                 tuple(text("v") + integer(offset) + integer(size))) +
           "Q";
  };
  const Pickle parsed = read(pickle("}" + text("w") + tensor(view(4, 6), 2, integer(4), integer(1)) + "s"));
  EXPECT_EQ(state_dict_of(parsed, "f.bin").at("w")->offset, 6);
  EXPECT_THAT(fault(tensor(view(4, 6), 3, integer(4), integer(1))), HasSubstr("reaches outside"));
  EXPECT_THAT(fault(tensor(view(4, 7), 0, "", "")),
              HasSubstr("a view of 7 elements from 4 reaches outside storage `0` of 10"));
}

TEST(Pickle, MalformedProgramsAreRejected) {
  for (const std::string body :
       {"",  "0",  "1", "a", "]a",    "e",     "s", "}s", "u",   "}(Nu", "d",    "(Nd",  "t",     "\x85",
        "R", "NR", "b", "Q", "h\x01", "q\x01", "2", "Na", "NNs", "(0",   "\x81", "\x93", "NN\x93"}) {
    EXPECT_THAT(fault(body), HasSubstr("corrupt_data: f.bin: the pickle ")) << body;
  }
  EXPECT_EQ(fault("NNb"), "unsupported: f.bin: the pickle sets attributes of something that is not a dict");
  EXPECT_THAT(fault(global("collections", "OrderedDict") + tuple("N") + "R"), HasSubstr("makes a dict of something"));
  EXPECT_THAT(fault(global("collections", "OrderedDict") + tuple("](Ne") + "R"),
              HasSubstr("makes a dict of something"));
  EXPECT_THAT(fault(global("torch._utils", "_rebuild_parameter") + ")R"),
              HasSubstr("with arguments that it does not take"));
  EXPECT_THAT(fault(global("torch._utils", "_rebuild_tensor") + ")R"), HasSubstr("makes a tensor of something"));
  EXPECT_THAT(fault(global("torch", "FloatStorage") + ")R"), HasSubstr("calls `torch.FloatStorage`"));
}

TEST(Pickle, TruncationAnywhereIsRejected) {
  const std::string whole = samples::valid_pickle();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(error_of([&] { read(whole.substr(0, size)); }), HasSubstr("corrupt_data: f.bin is cut off")) << size;
  }
  EXPECT_EQ(error_of([&] { read(std::string("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", 9)); }),
            "corrupt_data: f.bin is cut off: byte 9 should be followed by 18446744073709551615 more, there are 0");
}

TEST(Pickle, NonStateDictIsRejected) {
  EXPECT_EQ(fault("N"), "unsupported: f.bin holds something else than a dict of tensors");
  EXPECT_EQ(fault("}" + text("lr") + integer(1) + "s"), "unsupported: f.bin: `lr` is not a tensor");
  EXPECT_EQ(fault("}NNs"), "unsupported: f.bin has a key that is not text");
}

TEST(Pickle, TimeAndMemoryAreBounded) {
  EXPECT_EQ(error_of([&] { read(std::string(5'000'000, 'N')); }),
            "unsupported: f.bin: the pickle is longer than a state dict's can be");
  // One list of 10,000 pairs, named again and again.
  std::string pairs = "](";
  for (int i = 0; i < 10'000; ++i) pairs += "NN\x86";
  std::string repeated = tuple(pairs + "e") + "q\x01";
  for (int i = 0; i < 10'000; ++i) repeated += global("collections", "OrderedDict") + "h\x01R";
  EXPECT_THAT(error_of([&] { read(pickle(repeated)); }), HasSubstr("longer than a state dict's can be"));
}

// A list that contains itself, a dict that is its own value.
TEST(Pickle, CyclesAreHarmless) {
  EXPECT_NE(read(pickle("]q\x01h\x01"
                        "a"))
                .root,
            nullptr);
  EXPECT_EQ(fault("}q\x01" + text("state_dict") + "h\x01s"), "unsupported: f.bin: `state_dict` is not a tensor");
}

TEST(Pickle, AnyCorruptionLoadsOrThrowsError) {
  constexpr int kMutations = 20'000;
  std::mt19937_64 random(11);
  int loaded = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string bytes = mutate(samples::valid_pickle(), random);
    try {
      const Pickle parsed = read(bytes);
      for (const auto& [name, tensor] : state_dict_of(parsed, "f.bin")) {
        ASSERT_LE(tensor->offset + tensor->extent, parsed.storages.at(tensor->storage).size);
      }
      ++loaded;
    } catch (const Error&) {
      // The other right outcome: the file is refused.
    }
  }
  EXPECT_GT(loaded, kMutations / 1000);
  EXPECT_LT(loaded, kMutations / 2);
}

}  // namespace
}  // namespace easel
