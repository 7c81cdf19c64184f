// How torch writes tensors and storages into a pickle. Private to the pickle reader.
#pragma once

#include <map>
#include <string>

#include "weights/format/pickle.h"

namespace easel {

/// Whether a pickle may name this class or function, e.g. "torch.FloatStorage".
bool is_allowed_global(const std::string& name);

/// Whether a pickle may call this although no tensor is made of it: the result is a PickleOpaque.
bool is_ignored_callable(const std::string& name);

/// The value of a persistent id, ("storage", class, key, device, size[, view]). Adds the storage to `storages`.
PickleView pickled_storage(const PickleValue& id, std::map<std::string, PickledStorage>& storages,
                           const std::string& where);

/// The result of _rebuild_tensor and _rebuild_tensor_v2, called with (storage, offset, shape, strides, ...).
PickledTensor pickled_tensor(const PickleList& arguments, const std::string& where);

}  // namespace easel
