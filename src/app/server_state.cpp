#include "app/server_state.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

#include "adapters/adapter_catalog.h"
#include "adapters/embedding_folder.h"
#include "core/log.h"
#include "core/text.h"
#include "tensor/free_memory.h"
#include "tensor/placement.h"

namespace easel {
namespace {

/// @throws std::exception  the device is lost
DeviceMemory memory_of(const std::string& name) {
  const auto device = make_placement(name, "auto").device;
  if (device.is_cpu()) {
    const auto total = total_memory(device);
    return {.device = name, .free = std::clamp<std::int64_t>(free_memory(device), 0, total), .total = total};
  }
  const auto counts = allocator_counts(device);
  return {.device = name,
          .allocated = counts.allocated,
          .reserved = counts.reserved,
          .free = counts.free,
          .total = counts.total,
          .out_of_memory = counts.out_of_memory,
          .retries = counts.retries};
}

/// A lost device is left out.
std::vector<DeviceMemory> read_memory(const std::vector<std::string>& names) {
  std::vector<DeviceMemory> found;
  for (const auto& name : names) {
    try {
      found.push_back(memory_of(name));
    } catch (const std::exception&) {
      // Its last numbers stay in the metrics.
    }
  }
  return found;
}

// The vectors of files that cannot be read are not counted: the log says why.
std::vector<LearnedWord> list_words(EmbeddingFolder& folder) {
  std::vector<LearnedWord> words;
  for (const auto& file : *folder.files()) {
    LearnedWord word{.word = file.word};
    try {
      const auto& vectors = folder.load(file)->embedding.vectors(EmbeddingTarget::kClipL);
      word.vectors = vectors.size(0);
      word.width = vectors.size(1);
    } catch (const Error& e) {
      log::warning(concat("the embedding ", file.word, " cannot be read: ", e.what()));
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

std::function<std::vector<DeviceMemory>()> memory_of_gpus(const std::vector<std::string>& devices) {
  if (make_placement(devices.front(), "auto").device.is_cpu()) return {};
  return [devices] { return read_memory(devices); };
}

void describe_machine(const Options& options, const std::vector<std::string>& devices, ServerOptions& server) {
  const auto& flags = options.model;
  if (!flags.lora_dir.empty()) {
    const auto catalog = std::make_shared<AdapterCatalog>(flags.lora_dir);
    server.list_adapters = [catalog] { return catalog->list(); };
  }
  if (!flags.embeddings_dir.empty()) {
    const auto folder = std::make_shared<EmbeddingFolder>(flags.embeddings_dir);
    server.list_words = [folder] { return list_words(*folder); };
  }
  for (const auto& text : flags.vaes) {
    const auto path = text.substr(text.find('=') == std::string::npos ? 0 : text.find('=') + 1);
    server.autoencoders.push_back(std::filesystem::path(path).filename().string());
  }
  auto names = devices;
  if (std::find(names.begin(), names.end(), "cpu") == names.end()) names.insert(names.begin(), "cpu");
  server.read_memory = [names] { return read_memory(names); };
}

}  // namespace easel
