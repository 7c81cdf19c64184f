#include "weights/convert/gguf_writer.h"

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/atomic_file.h"
#include "weights/format/gguf.h"
#include "weights/format/message_format.h"
#include "weights/stores/stored_tensor.h"

namespace easel {
namespace {

constexpr std::uint64_t kGgufAlignment = 32;
constexpr std::uint64_t kGgufVersion = 3, kStringType = 8;
constexpr std::size_t kMaxGgufDimensions = 4;

std::string gguf_number(std::uint64_t number, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(number >> (8 * i) & 0xFF);
  return text;
}

std::string sized(const std::string& text) {
  return gguf_number(text.size(), 8) + text;
}

std::uint64_t padding(std::uint64_t size) {
  return (kGgufAlignment - size % kGgufAlignment) % kGgufAlignment;
}

/// Whether it is written as the blocks in which the store has it.
bool as_blocks(const TensorInfo& info) {
  return info.blocks != nullptr && info.shape.size() == 2;
}

int type_of(const TensorStore& store, const std::string& name) {
  const auto& info = *store.find(name);
  const auto* dtype = stored_dtype_of(info.dtype);
  const int type = as_blocks(info)    ? gguf_type_of(info.blocks->name)
                   : dtype == nullptr ? -1
                                      : gguf_type_of(dtype->name);
  if (type >= 0 && info.shape.size() <= kMaxGgufDimensions) return type;
  throw Error(ErrorCode::kUnsupported, concat(store.where(), ": tensor ", quote_name(name), ", ", info.stored_name(),
                                              ' ', format_shape(info.shape), ", cannot be written as GGUF"));
}

std::uint64_t size_of(const TensorInfo& info) {
  return static_cast<std::uint64_t>(as_blocks(info)
                                        ? info.stored_bytes()
                                        : static_cast<std::int64_t>(c10::elementSize(info.dtype)) * info.elements());
}

std::string header_of(const TensorStore& store, const std::vector<std::string>& names,
                      const std::map<std::string, std::string>& metadata) {
  std::string header =
      "GGUF" + gguf_number(kGgufVersion, 4) + gguf_number(names.size(), 8) + gguf_number(metadata.size(), 8);
  for (const auto& [key, value] : metadata) header += sized(key) + gguf_number(kStringType, 4) + sized(value);
  std::uint64_t offset = 0;
  for (const auto& name : names) {
    const auto& info = *store.find(name);
    header += sized(name) + gguf_number(info.shape.size(), 4);
    for (std::size_t i = info.shape.size(); i-- > 0;)
      header += gguf_number(static_cast<std::uint64_t>(info.shape[i]), 8);
    header += gguf_number(static_cast<std::uint64_t>(type_of(store, name)), 4) + gguf_number(offset, 8);
    const auto size = size_of(info);
    offset += size + padding(size);
  }
  header.append(padding(header.size()), '\0');
  return header;
}

at::Tensor bytes_of(const TensorStore& store, const std::string& name) {
  if (!as_blocks(*store.find(name))) return store.read(name).detach().to(c10::kCPU).contiguous();
  return store.read_blocks(name).value().blocks.contiguous();
}

}  // namespace

std::uint64_t write_gguf(const std::string& path, const TensorStore& store,
                         const std::map<std::string, std::string>& metadata,
                         const std::function<void(std::size_t)>& on_tensor) {
  const auto names = store.names();
  const auto header = header_of(store, names, metadata);
  AtomicFile file(path);
  file.write(header);
  std::uint64_t size = header.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto bytes = bytes_of(store, names[i]);
    file.write(std::span(static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()));
    file.write(std::string(padding(bytes.nbytes()), '\0'));
    size += bytes.nbytes() + padding(bytes.nbytes());
    store.release(names[i]);
    if (on_tensor) on_tensor(i + 1);
  }
  file.commit();
  return size;
}

}  // namespace easel
