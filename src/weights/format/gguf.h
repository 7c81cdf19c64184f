// Reading and checking the header of a GGUF file. Uses neither torch nor file access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "weights/format/block_format.h"
#include "weights/format/stored_dtype.h"

namespace easel {

struct GgufEntry {
  std::string name;
  const StoredDtype* dtype = nullptr;   ///< of tensors that are stored number by number
  const BlockFormat* blocks = nullptr;  ///< of the others; exactly one of the two is set
  std::vector<std::int64_t> shape;      ///< slowest dimension first, as torch has it; the file has the reverse order
  std::uint64_t begin = 0;              ///< bytes from the start of the file
  std::uint64_t end = 0;
};

struct GgufHeader {
  std::vector<GgufEntry> tensors;              ///< in the order of their bytes
  std::map<std::string, std::string> strings;  ///< the metadata that are strings, such as "general.architecture"
  std::map<std::string, std::vector<std::int64_t>> integers;  ///< metadata that are integers, or a few of them
};

/// Reads and checks the header of a whole file.
///
/// The format (ggml, docs/gguf.md), versions 2 and 3, little-endian: "GGUF", the version, the counts of tensors and of
/// metadata; each of the metadata with its key, type and value; each tensor with its name, dimensions, type and offset;
/// padding to the alignment; the data. As in ggml's reader, tensors follow each other without gaps other than padding.
/// As ComfyUI-GGUF writes it, the metadata "comfy.gguf.orig_shape.NAME" is the shape of a tensor whose rows were
/// changed so that they are whole blocks.
///
/// @param file   all bytes of the file
/// @param where  the file's name in messages
/// @throws Error(kCorruptData)  the header contradicts itself or the file; names the tensor where there is one
/// @throws Error(kUnsupported)  another version or byte order, or a type of tensor that easel cannot read; names it
GgufHeader parse_gguf_header(std::span<const std::byte> file, const std::string& where);

/// The number by which GGUF files name a type.
/// @param name  of a StoredDtype or BlockFormat. @return  -1 for a name that GGUF does not have
int gguf_type_of(std::string_view name);

}  // namespace easel
