#include "app/server_state.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Device.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <utility>

#include "adapters/adapter_catalog.h"
#include "adapters/embedding_folder.h"
#include "app/models/model_list.h"
#include "core/log.h"
#include "core/text.h"
#include "tensor/free_memory.h"

namespace easel {
namespace {

std::int64_t host_memory() {
  return std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
}

DeviceMemory memory_of(const std::string& name) {
  const c10::Device device(name);
  const auto total =
      device.is_cpu()
          ? host_memory()
          : static_cast<std::int64_t>(c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).second);
  return {.device = name, .free = std::clamp<std::int64_t>(free_memory(device), 0, total), .total = total};
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
  server.read_memory = [names] {
    std::vector<DeviceMemory> memory;
    std::transform(names.begin(), names.end(), std::back_inserter(memory), &memory_of);
    return memory;
  };
}

}  // namespace easel
