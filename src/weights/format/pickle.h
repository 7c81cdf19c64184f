// Reading Python pickles that hold a state dict without running any code. Uses neither torch nor file access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "weights/format/stored_dtype.h"

namespace easel {

/// The numbers behind one or more tensors, kept outside the pickle under `key`.
struct PickledStorage {
  std::string key;
  const StoredDtype* dtype = nullptr;
  std::int64_t size = 0;  ///< elements
};

/// A tensor as torch describes it: a strided view of a storage, checked to lie within it.
struct PickledTensor {
  std::string storage;                ///< a key of Pickle::storages
  std::int64_t offset = 0;            ///< elements
  std::vector<std::int64_t> shape;    ///< not negative
  std::vector<std::int64_t> strides;  ///< elements, not negative
  std::int64_t extent = 0;            ///< elements from the offset to the last one used; 0 for an empty tensor
};

struct PickleValue;

struct PickleNone {};
struct PickleOpaque {};  ///< result of a call that makes no tensor; left by training and never read
struct PickleList {      ///< also tuples
  std::vector<PickleValue*> items;
};
struct PickleDict {  ///< in the order of writing; of equal keys the last one counts
  std::vector<std::pair<PickleValue*, PickleValue*>> items;
};
struct PickleGlobal {  ///< a class or function, by its name only
  std::string name;    ///< "collections.OrderedDict"
};
struct PickleBytes {  ///< an integer beyond 64 bits, little-endian
  std::string bytes;
};
struct PickleView {  ///< a part of a storage; only in the format before torch 1.6
  std::string storage;
  std::int64_t offset = 0, size = 0;  ///< elements
};

/// One object of a pickle. Lists and dicts may contain themselves; walk them to a fixed depth only.
struct PickleValue : std::variant<PickleNone, PickleOpaque, bool, std::int64_t, double, std::string, PickleList,
                                  PickleDict, PickleGlobal, PickleBytes, PickleView, PickledTensor> {
  using variant::variant;
  template <class T>
  const T* as() const {
    return std::get_if<T>(this);
  }
};

/// The contents of one pickle. Owns every value, including `root`.
struct Pickle {
  const PickleValue* root = nullptr;
  std::map<std::string, PickledStorage> storages;
  std::size_t size = 0;  ///< bytes up to and including the pickle's end
  std::deque<PickleValue> values;
};

/// Reads the first pickle in `bytes`: protocols 2 to 5, binary opcodes only, as torch.save writes them.
///
/// A pickle is a program. This reader knows the few functions that a state dict needs (collections.OrderedDict,
/// torch.Size, torch._utils' _rebuild_tensor, _rebuild_tensor_v2 and _rebuild_parameter, and torch's typed storages),
/// implements what they do itself, and refuses any other by its name before it is used. Exceptions are a few names that
/// published checkpoints hold along with their state dict, such as NumPy's numbers and arrays, torch's devices and
/// dtypes, counters and argparse's namespaces, whose values are ignored.
/// libtorch's own restricted unpickler (torch/csrc/jit/serialization/unpickler.h) will not do: it reads each
/// OrderedDict, hence each state dict, as None, it makes tensors without checking that they lie inside their storage,
/// and it knows nothing of the format before 1.6.
///
/// @param where  the name of the bytes in messages
/// @throws Error(kUnsupported)  a function, class or opcode is not in that list (named), or there is more than a state
///                              dict needs
/// @throws Error(kCorruptData)  it is cut off, contradicts itself, or a tensor reaches outside its storage
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where);

/// The tensors of a state dict by their names: the root, or the dict under "state_dict" in it. Other values, such as
/// numbers that training left, are ignored.
/// @throws Error(kUnsupported)  it is something else, no value is a tensor, or a value holds further tensors; names it
std::map<std::string, const PickledTensor*> state_dict_of(const Pickle& pickle, const std::string& where);

/// The number of training steps that Lightning saves along with the state dict, as `global_step`; none if it is absent.
std::optional<std::int64_t> global_step_of(const Pickle& pickle);

/// The tensors of a textual inversion; other values are ignored. They are those of the dict under "string_to_param" in
/// the root (AUTOMATIC1111's web UI), else the root's own; a root that is a tensor is returned under the name "".
/// @throws Error(kUnsupported)  the root is something else
std::map<std::string, const PickledTensor*> textual_inversion_of(const Pickle& pickle, const std::string& where);

}  // namespace easel
