// The error of every file of a tokenizer that is damaged.
#pragma once

#include <string>

#include "easel/error.h"

namespace easel {

/// The error for a tokenizer's file that is damaged or contradicts itself.
/// @param message  one sentence that names the file and what is wrong with it
inline Error corrupt_data(const std::string& message) {
  return {ErrorCode::kCorruptData, message};
}

}  // namespace easel
