// How torch writes tensors and storages into a pickle. Private to the pickle reader.
#pragma once

#include <map>
#include <string>

#include "weights/format/pickle.h"

namespace easel {

/// Whether a pickle may name this class or function, e.g. "torch.FloatStorage".
bool is_allowed_global(const std::string& name);

/// Whether a pickle may call this, of which no tensor is made: PickleOpaque comes of it.
bool is_ignored_callable(const std::string& name);

/// What a persistent id stands for: ("storage", class, key, device, size[, view]). Notes the storage in `storages`.
PickleView pickled_storage(const PickleValue& id, std::map<std::string, PickledStorage>& storages,
                           const std::string& where);

/// What _rebuild_tensor and _rebuild_tensor_v2 return: (storage, offset, shape, strides, ...).
PickledTensor pickled_tensor(const PickleList& arguments, const std::string& where);

}  // namespace easel
