#include "weights/stores/gguf_file.h"

#include <c10/util/accumulate.h>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/file_names.h"
#include "weights/format/message_format.h"
#include "weights/format/saved_page.h"
#include "weights/stores/stored_tensor.h"

namespace easel {
namespace {

/// Whether a layer can keep the tensor's blocks: a matrix whose rows are whole blocks.
bool is_block_matrix(const GgufEntry& entry) {
  return entry.blocks != nullptr && entry.shape.size() == 2 && entry.shape[1] > 0 &&
         entry.shape[1] % entry.blocks->values == 0;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(std::make_shared<MappedFile>(path)) {
  refuse_saved_page(file_->bytes(), path);
  header_ = parse_gguf_header(file_->bytes(), path);
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    const auto& entry = header_.tensors[i];
    const auto dtype = entry.dtype != nullptr ? scalar_type_of(*entry.dtype) : c10::kFloat;
    indexed_tensors_.emplace(entry.name, IndexedTensor{i,
                                                       {.file = last_part(path),
                                                        .dtype = dtype,
                                                        .shape = entry.shape,
                                                        .blocks = entry.blocks,
                                                        .keep_stored = true}});
  }
}

std::vector<std::string> GgufFile::names() const {
  std::vector<std::string> names;
  for (const auto& entry : header_.tensors) names.push_back(entry.name);
  return names;
}

const TensorInfo* GgufFile::find(const std::string& name) const {
  const auto found = indexed_tensors_.find(name);
  return found == indexed_tensors_.end() ? nullptr : &found->second.info;
}

const GgufEntry& GgufFile::entry(const std::string& name) const {
  const auto found = indexed_tensors_.find(name);
  if (found == indexed_tensors_.end())
    throw Error(ErrorCode::kNotFound, concat(where(), " has no tensor ", quote_name(name)));
  return header_.tensors[found->second.index];
}

QuantizedWeight GgufFile::blocks_of(const GgufEntry& stored) const {
  const auto bytes = static_cast<std::int64_t>(stored.end - stored.begin);
  const auto rows = is_block_matrix(stored) ? stored.shape[0] : 1;
  const auto row_bytes = rows == 0 ? 0 : bytes / rows;
  return {.format = stored.blocks,
          .blocks = tensor_on(file_, file_->bytes().subspan(stored.begin, stored.end - stored.begin), at::kByte,
                              {rows, row_bytes}, {row_bytes, 1}),
          .scale = {},
          .shape = stored.shape};
}

at::Tensor GgufFile::read(const std::string& name) const {
  const auto& stored = entry(name);
  file_->check_unchanged();
  if (stored.blocks != nullptr) return blocks_of(stored).decode(at::kFloat);
  const auto bytes = file_->bytes().subspan(stored.begin, stored.end - stored.begin);
  return tensor_on(file_, bytes, scalar_type_of(*stored.dtype), stored.shape, contiguous_strides(stored.shape));
}

std::optional<QuantizedWeight> GgufFile::read_blocks(const std::string& name) const {
  const auto& stored = entry(name);
  if (!is_block_matrix(stored)) return std::nullopt;
  file_->check_unchanged();
  return blocks_of(stored);
}

void GgufFile::release(const std::string& name) const {
  const auto& stored = entry(name);
  file_->release(stored.begin, stored.end - stored.begin);
}

}  // namespace easel
