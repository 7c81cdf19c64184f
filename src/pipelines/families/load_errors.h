// What goes wrong while a checkpoint's weights are read, as whoever asked for an image is told it.
#pragma once

#include "easel/error.h"

namespace easel {

/// Runs `load`. A model that is known and lacks a file is broken: kNotFound, which says that there is no such model,
/// becomes kCorruptData.
template <class Load>
auto with_load_errors(const Load& load) -> decltype(load()) {
  try {
    return load();
  } catch (const Error& e) {
    throw Error(e.code() == ErrorCode::kNotFound ? ErrorCode::kCorruptData : e.code(), e.what());
  }
}

}  // namespace easel
