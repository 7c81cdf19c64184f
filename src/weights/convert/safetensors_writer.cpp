#include "weights/convert/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "tensor/placement.h"
#include "weights/format/atomic_file.h"
#include "weights/format/message_format.h"
#include "weights/stores/memory_store.h"
#include "weights/stores/stored_tensor.h"

namespace easel {
namespace {

constexpr std::size_t kAlignment = 8;
constexpr char kMetadataKey[] = "__metadata__";

struct Item {
  std::string name;
  const StoredDtype* dtype;
};

std::vector<Item> in_file_order(const TensorStore& store) {
  std::vector<Item> items;
  for (auto& name : store.names()) {
    if (name == kMetadataKey) {
      throw Error(ErrorCode::kUnsupported, concat(store.where(), ": a tensor is called ", quote_name(name),
                                                  ", which is the key of the metadata in safetensors files"));
    }
    const auto type = store.find(name)->dtype;
    const auto* dtype = stored_dtype_of(type);
    if (dtype == nullptr) {
      throw Error(ErrorCode::kUnsupported, concat(store.where(), ": tensor ", quote_name(name), " is of ",
                                                  dtype_name(type), ", which safetensors does not have"));
    }
    items.push_back({std::move(name), dtype});
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.dtype != b.dtype ? a.dtype > b.dtype : a.name < b.name;  // kStoredDtypes rises in alignment
  });
  return items;
}

std::string header_text(const TensorStore& store, const std::vector<Item>& items, const SafetensorsMetadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  std::uint64_t offset = 0;
  for (const auto& item : items) {
    const auto& shape = store.find(item.name)->shape;
    std::uint64_t size = static_cast<std::uint64_t>(item.dtype->bits) / 8;
    for (const auto dimension : shape) size *= static_cast<std::uint64_t>(dimension);
    nlohmann::ordered_json fields;
    fields["dtype"] = item.dtype->name;
    fields["shape"] = shape;
    fields["data_offsets"] = {offset, offset + size};
    header.emplace(item.name, std::move(fields));
    offset += size;
  }
  std::string text = header.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return text;
}

std::string little_endian(std::uint64_t number) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFF);
  return bytes;
}

}  // namespace

std::uint64_t write_safetensors(const std::string& path, const TensorStore& store, const SafetensorsMetadata& metadata,
                                const std::function<void(std::size_t)>& on_tensor) {
  const auto items = in_file_order(store);
  const std::string header = header_text(store, items, metadata);
  AtomicFile file(path);
  file.write(little_endian(header.size()));
  file.write(header);
  std::uint64_t size = sizeof(std::uint64_t) + header.size();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const at::Tensor tensor = store.read(items[i].name).detach().to(c10::kCPU).contiguous();
    file.write(std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()));
    store.release(items[i].name);
    size += tensor.nbytes();
    if (on_tensor) on_tensor(i + 1);
  }
  file.commit();
  return size;
}

void write_safetensors(const std::string& path, const std::map<std::string, at::Tensor>& tensors,
                       const SafetensorsMetadata& metadata) {
  write_safetensors(path, MemoryStore(tensors, path), metadata);
}

}  // namespace easel
