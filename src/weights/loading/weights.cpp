#include "weights/loading/weights.h"

#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <utility>

#include "core/mutex.h"
#include "core/text.h"
#include "easel/error.h"
#include "tensor/free_memory.h"
#include "tensor/parallel.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

constexpr std::size_t kMaxReportedFaults = 20;

/// What is wrong with a stored tensor; none if nothing is.
std::optional<std::string> fault_of(const std::string& name, const TensorInfo* stored, at::IntArrayRef shape) {
  if (stored == nullptr) return quote_name(name) + " is missing";
  if (at::IntArrayRef(stored->shape) != shape) {
    return concat(quote_name(name), " is ", format_shape(stored->shape), " in ", stored->file, ", expected ",
                  format_shape(shape));
  }
  if (!c10::isFloatingType(stored->dtype)) {
    return concat(quote_name(name), " is ", dtype_name(stored->dtype), " in ", stored->file,
                  ", expected floating point");
  }
  return std::nullopt;
}

// A single zero, expanded: a config's shapes cannot make us allocate memory before Weights::finish rejects them.
at::Tensor placeholder(const Placement& placement, at::IntArrayRef shape) {
  return at::zeros({}, at::TensorOptions().dtype(placement.dtype).device(placement.device)).expand(shape);
}

/// Whether copies of all tensors leave enough of the host's memory free. Pinned memory cannot leave it, in contrast to
/// the pages of a mapped file.
bool host_has_room_for(const TensorStore& store, c10::ScalarType dtype) {
  std::int64_t bytes = 0;
  for (const auto& name : store.names()) {
    auto size = static_cast<std::int64_t>(c10::elementSize(dtype));
    for (const auto extent : store.find(name)->shape) size *= extent;
    bytes += size;
  }
  constexpr std::int64_t kKeptFree = std::int64_t{2} << 30;
  return free_memory(c10::Device(c10::kCPU)) > bytes + bytes / 4 + kKeptFree;
}

struct LoadedTensor {
  at::Tensor tensor;
  bool is_view;  ///< of what is stored
};

bool is_half(c10::ScalarType dtype) {
  return dtype == c10::kHalf || dtype == c10::kBFloat16;
}

/// The same as `stored.to(dtype)` from float16 to bfloat16 or back. libtorch converts between these one number after
/// the other; by way of float32, which holds both exactly, it takes a third of the time.
/// @param stored  contiguous, on the CPU
at::Tensor between_halves(const at::Tensor& stored, c10::ScalarType dtype) {
  constexpr std::int64_t kPiece = 1 << 18;  // numbers, which stay in the cache of a core as float32
  auto result = at::empty(stored.sizes(), stored.options().dtype(dtype));
  const auto from = stored.view(-1), to = result.view(-1);
  for (std::int64_t i = 0; i < from.numel(); i += kPiece) {
    const auto length = std::min(kPiece, from.numel() - i);
    to.narrow(0, i, length).copy_(from.narrow(0, i, length).to(c10::kFloat));
  }
  return result;
}

/// @param format  none: as stored
/// @param upload  null: the copy to a device waits for the work that its current stream has
LoadedTensor place(const at::Tensor& stored, const Placement& placement, std::optional<at::MemoryFormat> format,
                   StagedUpload* upload) {
  if (upload != nullptr && !placement.device.is_cpu() && stored.is_cpu()) {
    return {upload->copy(stored, placement.dtype, format), /*is_view=*/false};
  }
  const bool converted = stored.device() != placement.device || stored.scalar_type() != placement.dtype;
  at::Tensor loaded = stored;
  const bool stays_contiguous =
      stored.is_contiguous() && format.value_or(at::MemoryFormat::Contiguous) == at::MemoryFormat::Contiguous;
  if (converted && stays_contiguous && stored.is_cpu() && placement.device.is_cpu() && is_half(stored.scalar_type()) &&
      is_half(placement.dtype)) {
    loaded = between_halves(stored, placement.dtype);
  } else if (converted) {
    loaded = stored.to(stored.options().device(placement.device).dtype(placement.dtype), /*non_blocking=*/false,
                       /*copy=*/false, format);
  } else if (format) {
    loaded = stored.contiguous(*format);  // the tensor itself if it has both layouts, as 1 x 1 kernels do
  }
  // The copy is complete, also on a GPU: from pageable memory `to` returns when it is done.
  const bool is_view = loaded.is_same(stored);
  return {std::move(loaded), is_view};
}

/// Reads a tensor and places it. If the result is a copy, the mapped pages may leave memory.
LoadedTensor load_tensor(const TensorStore& store, const std::string& name, const Placement& placement,
                         std::optional<at::MemoryFormat> format, StagedUpload* upload) {
  auto loaded = place(store.read(name), placement, format, upload);
  if (!loaded.is_view) store.release(name);
  return loaded;
}

/// The same in another form. @param convert  may be empty
at::Tensor load_converted(const TensorStore& store, const std::string& name, const Placement& placement,
                          std::optional<at::MemoryFormat> format, const WeightConversion& convert) {
  const auto [loaded, is_view] = load_tensor(store, name, placement, format, /*upload=*/nullptr);
  if (!convert) return loaded;
  auto converted = convert(loaded);
  if (is_view && !converted.is_same(loaded)) store.release(name);
  return converted;
}

}  // namespace

struct Weights::State {
  struct Unprepared {
    std::string name;
    DeferredWeight weight;
  };
  std::set<std::string> known;  // taken or skipped
  std::vector<std::string> faults;
  std::vector<Unprepared> unprepared;
  std::vector<std::string> left_to_first_use;  // prefixes of names
  bool files_noted = false;
};

Weights::Weights(std::shared_ptr<const TensorStore> store, const Placement& placement, LoadContext context)
    : store_(std::move(store)),
      placement_(placement),
      load_placement_(placement),
      context_(std::move(context)),
      component_(placement.offloader ? placement.offloader->add() : nullptr),
      state_(std::make_unique<State>()) {
  if (!component_) return;
  load_placement_.device = c10::Device(c10::kCPU);
  if (at::accelerator::isAccelerator(placement_.device.type()) && host_has_room_for(*store_, placement_.dtype)) {
    pinned_ = std::make_unique<PinnedArena>();
  }
}

Weights::~Weights() = default;

bool Weights::check(const std::string& name, at::IntArrayRef shape) {
  if (!state_->known.insert(name).second) {
    throw Error(ErrorCode::kInternal, concat(store_->where(), ": ", quote_name(name), " is taken twice"));
  }
  auto fault = fault_of(store_->stored_name(name), store_->find(name), shape);
  auto& faults = state_->faults;
  // One stored tensor can be several of the model's tensors; its fault is reported once.
  if (fault && std::find(faults.begin(), faults.end(), *fault) == faults.end()) faults.push_back(*fault);
  return !fault;
}

at::Tensor Weights::take(const std::string& name, at::IntArrayRef shape) {
  if (!check(name, shape)) return placeholder(placement_, shape);
  count(name);
  return load_now(name, load_placement_, std::nullopt);
}

DeferredWeight Weights::take_deferred(const std::string& name, at::IntArrayRef shape,
                                      std::optional<at::MemoryFormat> format, WeightConversion convert) {
  if (!check(name, shape)) {
    // No tensor is stored that could tell the dtype; half precision is what kStored is meant for.
    auto missing = placement_;
    if (missing.storage == WeightStorage::kStored) missing.dtype = c10::kHalf;
    if (missing.storage == WeightStorage::kBlocks) missing.dtype = c10::kByte;
    return DeferredWeight(placeholder(missing, shape));
  }
  auto where = load_placement_;
  const auto& info = *store_->find(name);
  const bool keeps = is_float8(info.dtype) || info.keep_stored ||
                     (where.storage == WeightStorage::kStored && placement_.device.is_cpu());
  if (keeps && c10::elementSize(info.dtype) < c10::elementSize(where.dtype)) where.dtype = info.dtype;
  const bool now = (!format && !convert) || component_ || !placement_.device.is_cpu();
  if (now) {
    DeferredWeight weight(load_now(name, where, format));
    count(name);
    return convert ? weight.then(std::move(convert)) : weight;
  }
  note_files();
  DeferredWeight weight([store = store_, name, where, format, convert = std::move(convert)] {
    return load_converted(*store, name, where, format, convert);
  });
  if (left_to_first_use(name)) {
    count(name);
  } else {
    state_->unprepared.push_back({name, weight});
  }
  return weight;
}

bool Weights::left_to_first_use(const std::string& name) const {
  return std::ranges::any_of(state_->left_to_first_use,
                             [&](const std::string& prefix) { return name.starts_with(prefix); });
}

LayerWeight Weights::take_layer(const std::string& name, at::IntArrayRef shape, WeightConversion convert) {
  const auto* info = store_->find(name);
  if (info == nullptr || info->blocks == nullptr || at::IntArrayRef(info->shape) != shape) {
    return LayerWeight(take_deferred(name, shape, std::nullopt, std::move(convert)));
  }
  auto stored = store_->read_blocks(name);
  if (!stored) return LayerWeight(take_deferred(name, shape, std::nullopt, std::move(convert)));
  check(name, shape);
  const auto place_part = [&](const at::Tensor& part) {
    auto where = load_placement_;
    where.dtype = part.scalar_type();
    auto [tensor, is_view] = place(part, where, std::nullopt, context_.upload.get());
    return keep(name, std::move(tensor), is_view);
  };
  stored->blocks = place_part(stored->blocks);
  if (stored->scale.defined()) stored->scale = place_part(stored->scale);
  count(name);
  return LayerWeight(*std::move(stored));
}

at::Tensor Weights::load_now(const std::string& name, const Placement& where, std::optional<at::MemoryFormat> format) {
  auto [tensor, is_view] = place(store_->read(name), where, format, context_.upload.get());
  return keep(name, std::move(tensor), is_view);
}

at::Tensor Weights::keep(const std::string& name, at::Tensor tensor, bool is_view) {
  if (pinned_ && tensor.is_cpu()) {
    tensor = pinned_->copy(tensor);
    is_view = false;
  }
  if (is_view) {
    note_files();
  } else {
    store_->release(name);
  }
  if (component_) component_->add(tensor, numbered_block_of(name));
  return tensor;
}

void Weights::count(const std::string& name) {
  if (context_.meter) context_.meter->add(store_->find(name)->stored_bytes());
}

/// Tensors of the model are views of the store's files, or may become so.
void Weights::note_files() {
  if (!context_.files || std::exchange(state_->files_noted, true)) return;
  for (const auto& file : store_->mapped_files()) context_.files->add(file);
}

void Weights::finish() {
  auto faults = std::move(state_->faults);
  const auto unfit = faults.size();
  for (const auto& name : store_->names()) {
    if (!state_->known.contains(name)) {
      faults.push_back(concat(quote_name(store_->stored_name(name)), " in ", store_->find(name)->file,
                              " is not a tensor of the model"));
    }
  }
  if (faults.empty()) return;
  const std::size_t reported = std::min(faults.size(), kMaxReportedFaults);
  std::string rest = faults.size() > reported ? concat("; and ", faults.size() - reported, " more") : "";
  if (unfit == 0) rest += "; --ignore-tensors PATTERN leaves out tensors that do not matter";
  faults.resize(reported);
  throw Error(ErrorCode::kCorruptData, concat(store_->where(), " does not fit its config: ", join(faults, "; "), rest));
}

void Weights::prepare() {
  const auto unprepared = std::exchange(state_->unprepared, {});
  std::atomic<std::size_t> next = 0;
  Mutex meter;
  // Each thread takes whole weights, within which libtorch and oneDNN do not use further threads.
  parallel_for(0, at::get_num_threads(), 1, [&](std::int64_t, std::int64_t) {
    for (auto i = next++; i < unprepared.size(); i = next++) {
      unprepared[i].weight.get();
      const MutexLock lock(meter);
      count(unprepared[i].name);
    }
  });
}

bool WeightScope::has(const std::string& name) const {
  return weights_->store_->find(full(name)) != nullptr;
}

at::Tensor WeightScope::take(const std::string& name, at::IntArrayRef shape) const {
  return weights_->take(full(name), shape);
}

DeferredWeight WeightScope::take_deferred(const std::string& name, at::IntArrayRef shape,
                                          std::optional<at::MemoryFormat> format, WeightConversion convert) const {
  return weights_->take_deferred(full(name), shape, format, std::move(convert));
}

LayerWeight WeightScope::take_layer(const std::string& name, at::IntArrayRef shape, WeightConversion convert) const {
  return weights_->take_layer(full(name), shape, std::move(convert));
}

void WeightScope::prepare_at_first_use() const {
  weights_->state_->left_to_first_use.push_back(prefix_ + ".");
}

void WeightScope::skip(const std::string& name) const {
  weights_->state_->known.insert(full(name));
}

const Placement& WeightScope::placement() const {
  return weights_->placement();
}

OffloadHandle WeightScope::offload_handle() const {
  return {weights_->placement().offloader, weights_->component_, numbered_block_of(prefix_)};
}

}  // namespace easel
