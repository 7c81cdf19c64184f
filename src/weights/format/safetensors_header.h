// Reading and checking the header of a safetensors file. Uses neither torch nor file access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "weights/format/stored_dtype.h"

namespace easel {

struct SafetensorsEntry {
  std::string name;
  const StoredDtype* dtype = nullptr;
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  std::uint64_t begin = 0;          ///< bytes from the start of the data section
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;        ///< in the order of their bytes
  std::map<std::string, std::string> metadata;  ///< the header's "__metadata__"
  std::uint64_t data_begin = 0;                 ///< where the data section starts in the file
};

/// Reads and checks the header of a whole file.
///
/// The format (huggingface/safetensors, README "Format" and tensor.rs): eight bytes of little-endian length, that much
/// JSON, then the data. The JSON begins with '{', may end in white space, and maps each tensor's name to dtype, shape
/// and data_offsets; together the tensors cover the data exactly, in whatever order the header names them. As the
/// format asks and unlike the reference reader, a name or field that occurs twice is refused, and so is white space
/// before '{'. Other fields of a tensor than these three are ignored, as the reference reader does.
///
/// @param file   all bytes of the file
/// @param where  the file's name in messages
/// @throws Error(kCorruptData)  the header contradicts itself or the file; names the tensor where there is one
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file, const std::string& where);

}  // namespace easel
