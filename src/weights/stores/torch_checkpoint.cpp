#include "weights/stores/torch_checkpoint.h"

#include <cstring>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/byte_reader.h"
#include "weights/format/message_format.h"
#include "weights/format/saved_page.h"
#include "weights/format/zip_archive.h"
#include "weights/stores/stored_tensor.h"

namespace easel {
namespace {

// torch/serialization.py: MAGIC_NUMBER (little-endian) and PROTOCOL_VERSION of the format before 1.6.
constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr std::int64_t kLegacyProtocol = 1001;

/// Tensors may share bytes and be expanded, so a small file could be made to fill the disk. Its tensors may take at
/// most this many times its own size, and a fixed allowance.
constexpr std::uint64_t kMaxGrowth = 4;
constexpr std::uint64_t kGrowthAllowance = 64 << 20;

Error corrupt(const std::string& where, const std::string& what) {
  return {ErrorCode::kCorruptData, concat(where, ": ", what)};
}

bool begins_with(std::span<const std::byte> bytes, std::size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() && std::memcmp(bytes.data() + offset, text.data(), text.size()) == 0;
}

std::uint64_t storage_bytes(const PickledStorage& storage, const std::string& where) {
  std::uint64_t bytes;
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(storage.size), storage.dtype->bits / 8, &bytes)) {
    throw corrupt(where, concat("storage ", quote_name(storage.key), " is larger than memory can be"));
  }
  return bytes;
}

/// The name of the archive's only folder, which can be any, with its slash.
std::string archive_folder(const std::map<std::string, std::span<const std::byte>>& entries, const std::string& where) {
  constexpr std::string_view kPickleName = "/data.pkl";
  for (const auto& [name, bytes] : entries) {
    if (name.ends_with(kPickleName) && name.find('/') == name.size() - kPickleName.size()) {
      return name.substr(0, name.size() - kPickleName.size() + 1);
    }
  }
  throw corrupt(where, "the zip archive holds no data.pkl, so torch.save did not write it");
}

}  // namespace

TorchCheckpoint::TorchCheckpoint(const std::string& path, TensorsOf tensors_of)
    : file_(std::make_shared<MappedFile>(path)), tensors_of_(tensors_of) {
  const auto bytes = file_->bytes();
  refuse_saved_page(bytes, path);
  if (begins_with(bytes, 0, "PK")) {
    read_zip();
  } else if (begins_with(bytes, 257, "ustar")) {
    throw Error(ErrorCode::kUnsupported,
                path +
                    " is a tar file of torch before 0.1.10, which easel does not read; load and "
                    "save it again with any later torch");
  } else {
    read_legacy();
  }
  check_total_size();
}

void TorchCheckpoint::read_zip() {
  const auto entries = read_zip_archive(file_->bytes(), where());
  const std::string folder = archive_folder(entries, where());
  const auto order = entries.find(folder + "byteorder");
  if (order != entries.end() && !begins_with(order->second, 0, "little")) {
    throw Error(ErrorCode::kUnsupported, where() + " was written on a big-endian machine, which easel does not read");
  }
  const Pickle pickle = read_pickle(entries.at(folder + "data.pkl"), where());
  for (const auto& [key, storage] : pickle.storages) {
    const auto entry = entries.find(concat(folder, "data/", key));
    if (entry == entries.end()) throw corrupt(where(), concat("storage ", quote_name(key), " is not in the archive"));
    const auto size = storage_bytes(storage, where());
    if (entry->second.size() != size) {
      throw corrupt(where(),
                    concat("storage ", quote_name(key), " has ", entry->second.size(), " bytes, expected ", size));
    }
    storages_[key] = entry->second;
  }
  bind_tensors(pickle);
}

/// The format before torch 1.6: consecutive pickles of magic number, protocol, machine, state dict and storage keys,
/// then each storage's element count and bytes in the order of the keys.
void TorchCheckpoint::read_legacy() {
  auto rest = file_->bytes();
  const auto next_pickle = [&] {
    Pickle pickle = read_pickle(rest, where());
    rest = rest.subspan(pickle.size);
    return pickle;
  };
  constexpr std::string_view kStart("\x80\x02\x8a\x0a", 4);  // how the pickle of the magic number begins
  if (!begins_with(rest, 0, kStart) || !begins_with(rest, kStart.size(), kLegacyMagic)) {
    throw corrupt(where(), "torch.save did not write this file");
  }
  next_pickle();
  const Pickle protocol = next_pickle();
  const auto* version = protocol.root->as<std::int64_t>();
  if (version == nullptr || *version != kLegacyProtocol) throw corrupt(where(), "it is of an unknown version");
  next_pickle();
  const Pickle state_dict = next_pickle();
  const Pickle keys = next_pickle();
  const auto* list = keys.root->as<PickleList>();
  if (list == nullptr) throw corrupt(where(), "it does not say which storages follow");

  ByteReader reader(rest, file_->path());
  for (const auto* item : list->items) {
    const auto* key = item->as<std::string>();
    const auto storage = key == nullptr ? state_dict.storages.end() : state_dict.storages.find(*key);
    if (storage == state_dict.storages.end()) throw corrupt(where(), "it holds a storage that no tensor uses");
    const auto count = reader.take_number<std::int64_t>();
    if (count != storage->second.size) {
      throw corrupt(where(),
                    concat("storage ", quote_name(*key), " has ", count, " elements, expected ", storage->second.size));
    }
    storages_[*key] = reader.take(storage_bytes(storage->second, where()));
  }
  bind_tensors(state_dict);
}

void TorchCheckpoint::bind_tensors(const Pickle& pickle) {
  global_step_ = global_step_of(pickle);
  for (const auto& [name, tensor] : tensors_of_(pickle, where())) {
    const auto bytes = storages_.find(tensor->storage);
    if (bytes == storages_.end()) {
      throw corrupt(where(),
                    concat("tensor ", quote_name(name), ": storage ", quote_name(tensor->storage), " is missing"));
    }
    const auto& dtype = *pickle.storages.at(tensor->storage).dtype;
    const auto element = static_cast<std::size_t>(dtype.bits / 8);
    const auto used = bytes->second.subspan(static_cast<std::size_t>(tensor->offset) * element,
                                            static_cast<std::size_t>(tensor->extent) * element);
    const std::string file = file_->path().substr(file_->path().rfind('/') + 1);
    bound_tensors_.emplace(name, BoundTensor{*tensor, used, {file, scalar_type_of(dtype), tensor->shape}});
  }
}

void TorchCheckpoint::check_total_size() const {
  const std::uint64_t most = file_->bytes().size() * kMaxGrowth + kGrowthAllowance;
  std::uint64_t total = 0;
  for (const auto& [name, bound_tensor] : bound_tensors_) {
    std::uint64_t size = c10::elementSize(bound_tensor.info.dtype);
    bool fits = true;
    for (const auto dimension : bound_tensor.info.shape) {
      fits = fits && !__builtin_mul_overflow(size, static_cast<std::uint64_t>(dimension), &size);
    }
    if (!fits || __builtin_add_overflow(total, size, &total) || total > most) {
      throw corrupt(where(), concat("tensor ", quote_name(name), " of shape ", format_shape(bound_tensor.info.shape),
                                    " makes the tensors take over ", most, " bytes, too many for this file"));
    }
  }
}

std::vector<std::string> TorchCheckpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, bound_tensor] : bound_tensors_) names.push_back(name);
  return names;
}

const TensorInfo* TorchCheckpoint::find(const std::string& name) const {
  const auto found = bound_tensors_.find(name);
  return found == bound_tensors_.end() ? nullptr : &found->second.info;
}

const TorchCheckpoint::BoundTensor& TorchCheckpoint::bound_tensor(const std::string& name) const {
  const auto found = bound_tensors_.find(name);
  if (found == bound_tensors_.end())
    throw Error(ErrorCode::kNotFound, concat(where(), " has no tensor ", quote_name(name)));
  return found->second;
}

at::Tensor TorchCheckpoint::read(const std::string& name) const {
  const auto& found = bound_tensor(name);
  file_->check_unchanged();
  return tensor_on(file_, found.bytes, found.info.dtype, found.info.shape, found.tensor.strides);
}

void TorchCheckpoint::release(const std::string& name) const {
  const auto& found = bound_tensor(name);
  file_->release(static_cast<std::size_t>(found.bytes.data() - file_->bytes().data()), found.bytes.size());
}

}  // namespace easel
