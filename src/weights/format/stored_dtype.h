// Element types under the names that safetensors gives them.
#pragma once

#include <string_view>

namespace easel {

struct StoredDtype {
  std::string_view name;  ///< e.g. "F16"
  int bits;               ///< of one element; below 8 for the packed types
};

/// In ascending order of alignment. Files are laid out in the reverse order.
inline constexpr StoredDtype kStoredDtypes[] = {
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
};

/// Null for a name that is not in the list.
constexpr const StoredDtype* find_stored_dtype(std::string_view name) {
  for (const auto& dtype : kStoredDtypes) {
    if (dtype.name == name) return &dtype;
  }
  return nullptr;
}

}  // namespace easel
