#include "weights/format/pickle_tensor.h"

#include <algorithm>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

struct StorageClass {
  std::string_view name, dtype;
};
constexpr StorageClass kStorageClasses[] = {
    {"torch.FloatStorage", "F32"},  {"torch.HalfStorage", "F16"}, {"torch.BFloat16Storage", "BF16"},
    {"torch.DoubleStorage", "F64"}, {"torch.LongStorage", "I64"}, {"torch.IntStorage", "I32"},
    {"torch.ShortStorage", "I16"},  {"torch.CharStorage", "I8"},  {"torch.ByteStorage", "U8"},
    {"torch.BoolStorage", "BOOL"},
};
constexpr std::string_view kFunctions[] = {
    "collections.OrderedDict",         "torch.Size", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
};

/// What published checkpoints hold along with their state dict, as training saved it. These are only named:
/// sd-v1-4.ckpt has its callback's state under the callback's class, and torch's dtypes are pickled by name.
constexpr std::string_view kNamed[] = {"pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
                                       "numpy.ndarray",
                                       "torch.float32",
                                       "torch.float64",
                                       "torch.float16",
                                       "torch.bfloat16",
                                       "torch.float8_e4m3fn",
                                       "torch.float8_e5m2",
                                       "torch.int64",
                                       "torch.int32",
                                       "torch.int16",
                                       "torch.int8",
                                       "torch.uint8",
                                       "torch.bool",
                                       "torch.complex64",
                                       "torch.complex128"};
/// These make numbers, arrays and sets of plain values and are called; their results are not read. torch's own
/// restricted loader, torch/_weights_only_unpickler.py, allows them or can be made to.
constexpr std::string_view kUnread[] = {"numpy.core.multiarray.scalar",
                                        "numpy._core.multiarray.scalar",
                                        "numpy.core.multiarray._reconstruct",
                                        "numpy._core.multiarray._reconstruct",
                                        "numpy.dtype",
                                        "_codecs.encode",
                                        "__builtin__.set",
                                        "builtins.set",
                                        "__builtin__.complex",
                                        "builtins.complex",
                                        "__builtin__.bytearray",
                                        "builtins.bytearray",
                                        "torch.device",
                                        "collections.Counter",
                                        "argparse.Namespace"};

constexpr std::size_t kMaxDimensions = 8;  // a weight has at most four
constexpr std::size_t kLongestKey = 255;   // torch numbers storages, by count or by address

const StoredDtype* dtype_of_storage_class(const PickleValue& value) {
  const auto* global = value.as<PickleGlobal>();
  for (const auto& known : kStorageClasses) {
    if (global != nullptr && global->name == known.name) return find_stored_dtype(known.dtype);
  }
  return nullptr;
}

Error corrupt(const std::string& where, const std::string& what) {
  return {ErrorCode::kCorruptData, concat(where, ": ", what)};
}

std::int64_t size_of(const PickleValue& value, const char* what, const std::string& where) {
  const auto* number = value.as<std::int64_t>();
  if (number == nullptr || *number < 0) throw corrupt(where, concat("a ", what, " in the pickle is not a size"));
  return *number;
}

std::vector<std::int64_t> sizes_of(const PickleValue& value, const char* what, const std::string& where) {
  const auto* list = value.as<PickleList>();
  if (list == nullptr || list->items.size() > kMaxDimensions) {
    throw corrupt(where, concat("a tensor's ", what, " in the pickle is not a list or has more than ", kMaxDimensions,
                                " entries"));
  }
  std::vector<std::int64_t> sizes;
  for (const auto* item : list->items) sizes.push_back(size_of(*item, what, where));
  return sizes;
}

/// The part of its storage that an old storage view covers: None, or (key, offset, size).
void apply_view(const PickleValue& value, PickleView& view, const std::string& where) {
  if (value.as<PickleNone>() != nullptr) return;
  const auto* fields = value.as<PickleList>();
  if (fields == nullptr || fields->items.size() != 3)
    throw corrupt(where, "the pickle has a storage view that is not a triple");
  const std::int64_t offset = size_of(*fields->items[1], "view's offset", where);
  const std::int64_t size = size_of(*fields->items[2], "view's size", where);
  if (offset > view.size || size > view.size - offset) {
    throw corrupt(where, concat("a view of ", size, " elements from ", offset, " reaches outside storage ",
                                quote_name(view.storage), " of ", view.size));
  }
  view.offset = offset;
  view.size = size;
}

/// Number of elements from the first one used to the last one; 0 for an empty tensor. Throws if it does not fit.
std::int64_t extent_of(const PickledTensor& tensor, const std::string& where) {
  std::int64_t last = 0, elements = 1;
  bool empty = false;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 0) {
      empty = true;
      continue;
    }
    std::int64_t reach;
    if (__builtin_mul_overflow(elements, tensor.shape[i], &elements) ||
        __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last) || last == INT64_MAX) {
      throw corrupt(where, concat("a tensor of shape ", format_shape(tensor.shape), " is larger than memory can be"));
    }
  }
  return empty ? 0 : last + 1;
}

const PickleValue* item_of(const PickleDict& dict, std::string_view wanted) {
  const PickleValue* found = nullptr;
  for (const auto& [key, value] : dict.items) {
    const auto* name = key->as<std::string>();
    if (name != nullptr && *name == wanted) found = value;
  }
  return found;
}

/// Whether a value is a list or dict with tensors in it, such as a state dict under another name.
bool holds_tensors(const PickleValue& value) {
  const auto is_tensor = [](const PickleValue* item) { return item->as<PickledTensor>() != nullptr; };
  if (const auto* list = value.as<PickleList>()) return std::ranges::any_of(list->items, is_tensor);
  const auto* dict = value.as<PickleDict>();
  return dict != nullptr && std::ranges::any_of(dict->items, [&](const auto& item) { return is_tensor(item.second); });
}

}  // namespace

bool is_ignored_callable(const std::string& name) {
  return std::ranges::find(kUnread, name) != std::end(kUnread);
}

bool is_allowed_global(const std::string& name) {
  return std::ranges::find(kFunctions, name) != std::end(kFunctions) ||
         std::ranges::find(kNamed, name) != std::end(kNamed) || is_ignored_callable(name) ||
         std::ranges::find(kStorageClasses, name, &StorageClass::name) != std::end(kStorageClasses);
}

PickleView pickled_storage(const PickleValue& id, std::map<std::string, PickledStorage>& storages,
                           const std::string& where) {
  const auto* fields = id.as<PickleList>();
  if (fields == nullptr || fields->items.size() < 5 || fields->items.size() > 6) {
    throw corrupt(where, "the pickle has a persistent id that is not a storage");
  }
  const auto* kind = fields->items[0]->as<std::string>();
  const auto* key = fields->items[2]->as<std::string>();
  const auto* dtype = dtype_of_storage_class(*fields->items[1]);
  if (kind == nullptr || *kind != "storage" || key == nullptr || key->size() > kLongestKey || dtype == nullptr) {
    throw corrupt(where, "the pickle has a persistent id that is not a storage");
  }
  const std::int64_t size = size_of(*fields->items[4], "storage's size", where);
  const auto [known, is_new] = storages.try_emplace(*key, PickledStorage{*key, dtype, size});
  if (!is_new && (known->second.dtype != dtype || known->second.size != size)) {
    throw corrupt(where,
                  concat("storage ", quote_name(*key), " is ", known->second.size, " of ", known->second.dtype->name,
                         " in one place and ", size, " of ", dtype->name, " in another"));
  }
  PickleView view{*key, 0, size};
  if (fields->items.size() == 6) apply_view(*fields->items[5], view, where);
  return view;
}

PickledTensor pickled_tensor(const PickleList& arguments, const std::string& where) {
  const auto& items = arguments.items;
  const auto* view = items.size() < 4 ? nullptr : items[0]->as<PickleView>();
  if (view == nullptr) throw corrupt(where, "the pickle makes a tensor of something that is not a storage");
  PickledTensor tensor;
  tensor.storage = view->storage;
  tensor.shape = sizes_of(*items[2], "shape", where);
  tensor.strides = sizes_of(*items[3], "stride", where);
  const std::int64_t offset = size_of(*items[1], "tensor's offset", where);
  if (tensor.shape.size() != tensor.strides.size()) {
    throw corrupt(where,
                  concat("a tensor of shape ", format_shape(tensor.shape), " has ", tensor.strides.size(), " strides"));
  }
  tensor.extent = extent_of(tensor, where);
  if (offset > view->size || tensor.extent > view->size - offset) {
    throw corrupt(where, concat("a tensor of shape ", format_shape(tensor.shape), " and strides ",
                                format_shape(tensor.strides), " from element ", offset, " reaches outside storage ",
                                quote_name(view->storage), " of ", view->size));
  }
  tensor.offset = view->offset + offset;
  return tensor;
}

std::map<std::string, const PickledTensor*> state_dict_of(const Pickle& pickle, const std::string& where) {
  const auto* dict = pickle.root->as<PickleDict>();
  if (dict != nullptr) {
    if (const auto* nested = item_of(*dict, "state_dict")) dict = nested->as<PickleDict>();
  }
  if (dict == nullptr) throw Error(ErrorCode::kUnsupported, where + " holds something else than a dict of tensors");
  std::map<std::string, const PickledTensor*> tensors;
  std::string left_over;
  bool lost = false;
  for (const auto& [key, value] : dict->items) {
    const auto* name = key->as<std::string>();
    if (name == nullptr) throw Error(ErrorCode::kUnsupported, where + " has a key that is not text");
    if (const auto* tensor = value->as<PickledTensor>()) {
      tensors[*name] = tensor;
    } else if (left_over.empty() || holds_tensors(*value)) {
      left_over = *name;
      lost = lost || holds_tensors(*value);
    }
  }
  // What training leaves between the tensors changes no image; a dict of nothing else is not a state dict.
  if (!left_over.empty() && (lost || tensors.empty())) {
    throw Error(ErrorCode::kUnsupported, concat(where, ": ", quote_name(left_over), " is not a tensor"));
  }
  return tensors;
}

std::optional<std::int64_t> global_step_of(const Pickle& pickle) {
  const auto* dict = pickle.root->as<PickleDict>();
  const auto* found = dict == nullptr ? nullptr : item_of(*dict, "global_step");
  const auto* step = found == nullptr ? nullptr : found->as<std::int64_t>();
  return step == nullptr ? std::nullopt : std::optional(*step);
}

std::map<std::string, const PickledTensor*> textual_inversion_of(const Pickle& pickle, const std::string& where) {
  if (const auto* tensor = pickle.root->as<PickledTensor>()) return {{"", tensor}};
  const auto* dict = pickle.root->as<PickleDict>();
  if (dict != nullptr) {
    if (const auto* nested = item_of(*dict, "string_to_param")) dict = nested->as<PickleDict>();
  }
  if (dict == nullptr) throw Error(ErrorCode::kUnsupported, where + " holds something else than a textual inversion");
  std::map<std::string, const PickledTensor*> tensors;
  for (const auto& [key, value] : dict->items) {
    const auto* name = key->as<std::string>();
    const auto* tensor = value->as<PickledTensor>();
    if (name != nullptr && tensor != nullptr) tensors[*name] = tensor;
  }
  return tensors;
}

}  // namespace easel
