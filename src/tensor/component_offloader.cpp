#include "tensor/component_offloader.h"

#include <c10/core/InferenceMode.h>

#include <string_view>

#include "tensor/copy_stream.h"
#include "tensor/free_memory.h"

namespace easel {
namespace {

/// Makes `tensor`, for all its holders, the same as `other`. Both then share their memory.
void rebind(const at::Tensor& tensor, const at::Tensor& other) {
  tensor.unsafeGetTensorImpl()->shallow_copy_from(other.getIntrusivePtr());
}

/// Whether the weights leave less than a quarter of the free memory to activations.
bool fills_device(std::int64_t bytes, c10::Device device) {
  const auto free = free_memory(device);
  return bytes > free - free / 4;
}

}  // namespace

void ComponentOffloader::Component::add(const at::Tensor& tensor, const std::string& block) {
  const c10::InferenceMode inference;
  blocks_[block].tensors.push_back({.shared = tensor, .host = tensor.alias()});
}

std::int64_t ComponentOffloader::Component::bytes() const {
  std::int64_t total = 0;
  for (const auto& [name, block] : blocks_) {
    for (const auto& tensor : block.tensors) total += static_cast<std::int64_t>(tensor.host.nbytes());
  }
  return total;
}

ComponentOffloader::ComponentOffloader(Copy copy, StreamsBlocks streams)
    : copy_(std::move(copy)), streams_(std::move(streams)) {}

ComponentOffloader::ComponentOffloader(c10::Device device, bool streams_blocks)
    : ComponentOffloader([device](const at::Tensor& host) { return host.to(device, /*non_blocking=*/true); }) {
  if (!streams_blocks) return;
  streams_ = [device](std::int64_t bytes) { return fills_device(bytes, device); };
  if (!device.is_cpu()) copy_stream_ = std::make_unique<CopyStream>(device);
}

ComponentOffloader::~ComponentOffloader() = default;

std::shared_ptr<ComponentOffloader::Component> ComponentOffloader::add() {
  return std::make_shared<Component>();
}

void ComponentOffloader::evict(Component::Block& block) {
  if (block.on_device) {
    for (const auto& offloaded : block.tensors) rebind(offloaded.shared, offloaded.host);
  }
  block.on_device = false;
  block.copies.clear();
}

void ComponentOffloader::evict(Component& component) {
  for (auto& [name, block] : component.blocks_) evict(block);
  component.resident_ = false;
  component.last_.clear();
}

void ComponentOffloader::load_ahead(Component::Block& block) {
  if (block.on_device || !block.copies.empty()) return;
  std::vector<at::Tensor> host;
  for (const auto& offloaded : block.tensors) host.push_back(offloaded.host);
  if (copy_stream_) {
    block.copies = copy_stream_->copy(host);
  } else {
    for (const auto& tensor : host) block.copies.push_back(copy_(tensor));
  }
}

void ComponentOffloader::load(Component::Block& block) {
  if (block.on_device) return;
  block.on_device = true;  // so that evict() undoes a part of what follows
  if (block.copies.empty()) {
    for (const auto& offloaded : block.tensors) rebind(offloaded.shared, copy_(offloaded.host));
    return;
  }
  if (copy_stream_) copy_stream_->join(block.copies);
  for (std::size_t i = 0; i < block.tensors.size(); ++i) rebind(block.tensors[i].shared, block.copies[i]);
  block.copies.clear();
}

void ComponentOffloader::make_resident(const std::shared_ptr<Component>& component) {
  if (component->resident_) return;
  const c10::InferenceMode inference;
  const MutexLock lock(mutex_);
  if (const auto before = current_.lock()) evict(*before);
  current_ = component;
  component->streams_ = streams_ && streams_(component->bytes());
  try {
    for (auto& [name, block] : component->blocks_) {
      if (!(component->streams_ && block.announced)) load(block);
    }
  } catch (...) {
    evict(*component);
    current_.reset();
    throw;
  }
  component->resident_ = true;
}

void ComponentOffloader::make_resident(const std::shared_ptr<Component>& component, const std::string& block) {
  make_resident(component);
  if (!component->streams_ || block.empty() || component->last_ == block) return;
  const c10::InferenceMode inference;
  const MutexLock lock(mutex_);
  auto& blocks = component->blocks_;
  auto& entered = blocks[block];
  try {
    if (!component->last_.empty()) {
      auto& before = blocks[component->last_];
      // A guess that was wrong goes as well.
      if (before.next != block && !before.next.empty()) evict(blocks[before.next]);
      before.next = block;
      evict(before);
    }
    load(entered);
    component->last_ = block;
    if (!entered.next.empty()) load_ahead(blocks[entered.next]);
  } catch (...) {
    evict(*component);
    current_.reset();
    throw;
  }
}

OffloadHandle::OffloadHandle(std::shared_ptr<ComponentOffloader> offloader,
                             std::shared_ptr<ComponentOffloader::Component> component, std::string block)
    : offloader_(std::move(offloader)), component_(std::move(component)), block_(std::move(block)) {
  if (component_ && !block_.empty()) component_->announce(block_);
}

std::string numbered_block_of(const std::string& name) {
  for (std::size_t begin = 0; begin < name.size();) {
    const auto end = std::min(name.find('.', begin), name.size());
    const auto part = std::string_view(name).substr(begin, end - begin);
    if (begin > 0 && !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos) {
      return name.substr(0, end);
    }
    begin = end + 1;
  }
  return "";
}

std::shared_ptr<ComponentOffloader> ComponentOffloaders::of(c10::Device device) {
  const MutexLock lock(mutex_);
  auto& offloader = offloaders_[device.str()];
  if (!offloader) offloader = std::make_shared<ComponentOffloader>(device, streams_blocks_);
  return offloader;
}

}  // namespace easel
