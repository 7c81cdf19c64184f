#include "weights/stores/safetensors.h"

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/file_names.h"
#include "weights/format/message_format.h"
#include "weights/format/saved_page.h"
#include "weights/stores/stored_tensor.h"

namespace easel {
SafetensorsFile::SafetensorsFile(const std::string& path) : file_(std::make_shared<MappedFile>(path)) {
  refuse_saved_page(file_->bytes(), path);
  header_ = parse_safetensors_header(file_->bytes(), path);
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
    const auto& entry = header_.tensors[i];
    indexed_tensors_.emplace(
        entry.name,
        IndexedTensor{i, {.file = last_part(path), .dtype = scalar_type_of(*entry.dtype), .shape = entry.shape}});
  }
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& entry : header_.tensors) names.push_back(entry.name);
  return names;
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto found = indexed_tensors_.find(name);
  return found == indexed_tensors_.end() ? nullptr : &found->second.info;
}

const SafetensorsEntry& SafetensorsFile::entry(const std::string& name) const {
  const auto found = indexed_tensors_.find(name);
  if (found == indexed_tensors_.end())
    throw Error(ErrorCode::kNotFound, concat(where(), " has no tensor ", quote_name(name)));
  return header_.tensors[found->second.index];
}

at::Tensor SafetensorsFile::read(const std::string& name) const {
  const auto& stored = entry(name);
  const auto type = scalar_type_of(*stored.dtype);
  if (type == c10::ScalarType::Undefined) {
    throw Error(ErrorCode::kUnsupported, concat(where(), ": tensor ", quote_name(name), " is stored as ",
                                                stored.dtype->name, ", which easel cannot read"));
  }
  file_->check_unchanged();
  const auto bytes = file_->bytes().subspan(header_.data_begin + stored.begin, stored.end - stored.begin);
  return tensor_on(file_, bytes, type, stored.shape, contiguous_strides(stored.shape));
}

void SafetensorsFile::release(const std::string& name) const {
  const auto& stored = entry(name);
  file_->release(header_.data_begin + stored.begin, stored.end - stored.begin);
}

}  // namespace easel
