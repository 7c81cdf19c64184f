// Leaving out tensors that a model does not use.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "weights/loading/tensor_store.h"

namespace easel {

/// Whether one of the patterns (as in a shell: `*`, `?`, `[abc]`; a dot is an ordinary character) matches the name. A
/// tensor that changes what the weights mean (changes_weights) matches none.
bool is_ignored(const std::string& name, const std::vector<std::string>& patterns);

/// The store without the ignored tensors in its list of names, so that Weights::finish does not report them. A model
/// that asks for one of them gets it all the same. A store without such tensors is returned unchanged.
std::shared_ptr<const TensorStore> without_ignored(std::shared_ptr<const TensorStore> store,
                                                   const std::vector<std::string>& patterns);

}  // namespace easel
