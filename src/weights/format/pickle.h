// Python pickles that hold a state dict, read without running anything. No torch and no file access here.
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

/// A tensor as torch describes it: a strided window on a storage, checked to lie inside.
struct PickledTensor {
  std::string storage;                ///< a key of Pickle::storages
  std::int64_t offset = 0;            ///< elements
  std::vector<std::int64_t> shape;    ///< not negative
  std::vector<std::int64_t> strides;  ///< elements, not negative
  std::int64_t extent = 0;            ///< elements from offset to behind the last one used; 0 for an empty tensor
};

struct PickleValue;

struct PickleNone {};
struct PickleOpaque {};  ///< made by a call of something that no tensor is made of: what training left, never looked at
struct PickleList {      ///< also tuples
  std::vector<PickleValue*> items;
};
struct PickleDict {  ///< in the order of writing; of equal keys the last counts
  std::vector<std::pair<PickleValue*, PickleValue*>> items;
};
struct PickleGlobal {  ///< a class or function, by its name only
  std::string name;    ///< "collections.OrderedDict"
};
struct PickleBytes {  ///< an integer beyond 64 bits, little-endian
  std::string bytes;
};
struct PickleView {  ///< a window on a storage, as only the format before 1.6 has them
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

/// What one pickle holds. Owns every value, `root` among them.
struct Pickle {
  const PickleValue* root = nullptr;
  std::map<std::string, PickledStorage> storages;
  std::size_t size = 0;  ///< bytes up to and with the pickle's end
  std::deque<PickleValue> values;
};

/// Reads the first pickle in `bytes`: protocols 2 to 5, binary opcodes only, as torch.save writes them.
///
/// A pickle is a program. This reader knows the few functions that a state dict needs (collections.OrderedDict,
/// torch.Size, torch._utils' _rebuild_tensor, _rebuild_tensor_v2 and _rebuild_parameter, and torch's typed storages),
/// does by hand what they do, and refuses any other by its name before it is used; but for a few names that published
/// checkpoints hold beside their state dict, such as NumPy's numbers, of which it makes nothing. libtorch's own
/// restricted unpickler (torch/csrc/jit/serialization/unpickler.h) will not do: it reads each OrderedDict, hence each
/// state dict, as None, it makes tensors without checking that they lie inside their storage, and it knows nothing of
/// the format before 1.6.
///
/// @param where  what messages call the bytes
/// @throws Error(kUnsupported)  a function, class or opcode outside that list, named; more than a state dict needs
/// @throws Error(kCorruptData)  cut off, contradicts itself, or a tensor reaches outside its storage
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where);

/// The tensors of a state dict by their names: the root, or the dict under "state_dict" in it.
/// @throws Error(kUnsupported)  something else than that, or a value that is no tensor; names it
std::map<std::string, const PickledTensor*> state_dict_of(const Pickle& pickle, const std::string& where);

/// The steps of training that Lightning notes beside the state dict, as `global_step`; none where it does not.
std::optional<std::int64_t> global_step_of(const Pickle& pickle);

/// The tensors of a textual inversion, whatever lies beside them: those of the dict under "string_to_param" in the root
/// (AUTOMATIC1111's web UI), else the root's own; of a root that is a tensor, that one, under "".
/// @throws Error(kUnsupported)  the root is something else
std::map<std::string, const PickledTensor*> textual_inversion_of(const Pickle& pickle, const std::string& where);

}  // namespace easel
