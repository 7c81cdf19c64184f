#include "support/rehearsal/runtime.h"

#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "core/text.h"

namespace easel::testing::rehearsal {
namespace {

constexpr std::size_t kRegionBytes = std::size_t{1} << 42;  // of addresses; none has memory
constexpr std::size_t kAlignment = 512;
constexpr int kLaunchFailure = 719;
// An event is seen to be done only at the third question.
constexpr int kQueriesBeforeDone = 2;

thread_local int this_device = 0;
thread_local std::array<int, kDevices> this_stream{};  // within its device
thread_local bool this_may_not_use_default_stream = false;

std::size_t rounded(std::size_t bytes) {
  return (bytes / kAlignment + 1) * kAlignment;
}

int device_of(int stream) {
  return stream / kStreamsPerDevice;
}

void merge(Progress& into, const Progress& from) {
  std::transform(into.begin(), into.end(), from.begin(), into.begin(),
                 [](std::int64_t a, std::int64_t b) { return std::max(a, b); });
}

}  // namespace

Block::Block(int on_device, std::size_t size)
    : device(on_device),
      bytes(size),
      memory(static_cast<char*>(std::aligned_alloc(kAlignment, rounded(size))), &std::free),
      address(Runtime::get().next_address(size)),
      allocated_on(Runtime::current_stream(on_device)) {
  std::memset(memory.get(), 0xFF, rounded(size));  // NaN in every float dtype
}

Block::~Block() {
  auto& runtime = Runtime::get();
  const auto lock = runtime.lock();
  auto& state = runtime.device(device);
  state.allocated -= static_cast<std::int64_t>(bytes);
  state.cached += static_cast<std::int64_t>(bytes);
  for (int stream = 0; stream < kStreams; ++stream) {
    const auto used = std::max(read[static_cast<std::size_t>(stream)], writer == stream ? written : 0);
    if (stream == allocated_on || recorded[static_cast<std::size_t>(stream)] || state.lost) continue;
    if (runtime.host_has_seen(stream, used)) continue;
    state.violations.push_back(
        concat("memory of stream ", allocated_on, " was freed while stream ", stream, " may still use it"));
  }
}

Runtime& Runtime::get() {
  static auto* runtime = new Runtime;  // outlives every tensor
  return *runtime;
}

Runtime::Runtime() {
  void* region = mmap(nullptr, kRegionBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TORCH_CHECK(region != MAP_FAILED, "rehearsal: no addresses are left");
  region_ = static_cast<char*>(region);
}

int Runtime::current_device() {
  return this_device;
}
void Runtime::set_current_device(int device) {
  this_device = device;
}
int Runtime::current_stream(int device) {
  return device * kStreamsPerDevice + this_stream[static_cast<std::size_t>(device)];
}
void Runtime::set_current_stream(int stream) {
  this_stream[static_cast<std::size_t>(device_of(stream))] = stream % kStreamsPerDevice;
}
bool Runtime::default_stream_forbidden() {
  return this_may_not_use_default_stream;
}
void Runtime::forbid_default_stream(bool forbidden) {
  this_may_not_use_default_stream = forbidden;
}

char* Runtime::next_address(std::size_t bytes) {
  const auto guard = lock();
  TORCH_CHECK(used_ + rounded(bytes) <= kRegionBytes, "rehearsal: all addresses were used");
  auto* const address = region_ + used_;
  used_ += rounded(bytes);
  return address;
}

int Runtime::next_stream(int device) {
  auto& latest = latest_stream_[static_cast<std::size_t>(device)];
  latest = latest % (kStreamsPerDevice - 1) + 1;
  return device * kStreamsPerDevice + latest;
}

bool Runtime::is_pinned(const void* address) const {
  const auto* const byte = static_cast<const char*>(address);
  const auto after = pinned.upper_bound(byte);
  if (after == pinned.begin()) return false;
  const auto& [first, bytes] = *std::prev(after);
  return byte < first + bytes;
}

void Runtime::require_alive(int index) {
  auto& state = device(index);
  if (!state.lost) return;
  ++state.uses_after_loss;
  throw c10::AcceleratorError({__func__, __FILE__, __LINE__}, kLaunchFailure,
                              concat("rehearsal: unspecified launch failure on device ", index));
}

int Runtime::begin_operation(int index) {
  if (auto& state = device(index); state.lost_after > 0) state.lost = --state.lost_after == 0;
  require_alive(index);
  const auto number = current_stream(index);
  TORCH_CHECK(!this_may_not_use_default_stream || number % kStreamsPerDevice != 0,
              "rehearsal: a thread that must not give work to the default stream has done so");
  auto& own = stream(number);
  merge(own.progress, host_);
  own.progress[static_cast<std::size_t>(number)] = ++own.issued;
  ++own.counts.kernels;
  for (auto copy = own.pending.begin(); copy != own.pending.end();) {
    if (!copy->to_device) {
      ++copy;
      continue;
    }
    copy->run();
    copy = own.pending.erase(copy);
  }
  return number;
}

void Runtime::require_order(const Block& block, int index, bool writes) {
  const auto& known = stream(index).progress;
  const auto done = [&](int other, std::int64_t number) { return number <= known[static_cast<std::size_t>(other)]; };
  TORCH_CHECK(block.writer < 0 || done(block.writer, block.written), "rehearsal: stream ", index, " uses what stream ",
              block.writer, " writes, without waiting for it");
  for (int other = 0; writes && other < kStreams; ++other) {
    TORCH_CHECK(done(other, block.read[static_cast<std::size_t>(other)]), "rehearsal: stream ", index,
                " overwrites what stream ", other, " reads, without waiting for it");
  }
}

void Runtime::read(Block& block, int index) {
  require_order(block, index, /*writes=*/false);
  block.read[static_cast<std::size_t>(index)] = stream(index).issued;
}

void Runtime::write(Block& block, int index) {
  require_order(block, index, /*writes=*/true);
  block.writer = index;
  block.written = stream(index).issued;
}

void Runtime::enqueue_copy(int index, bool to_device, std::function<void()> copy) {
  stream(index).pending.push_back({stream(index).issued, to_device, std::move(copy)});
}

void Runtime::complete(int index, std::int64_t number) {
  auto& pending = stream(index).pending;
  while (!pending.empty() && pending.front().number <= number) {
    pending.front().run();
    pending.pop_front();
  }
}

void Runtime::synchronize(int index) {
  require_alive(device_of(index));
  auto& own = stream(index);
  ++own.counts.synchronizations;
  complete(index, own.issued);
  merge(host_, own.progress);
}

void Runtime::record(Event& event, int index) {
  require_alive(device_of(index));
  auto& own = stream(index);
  merge(own.progress, host_);
  event = {.stream = index, .number = own.issued, .progress = own.progress};
}

void Runtime::wait(const Event& event, int index) {
  require_alive(device_of(index));
  complete(event.stream, event.number);
  merge(stream(index).progress, event.progress);
}

bool Runtime::query(Event& event) {
  require_alive(device_of(event.stream));
  if (!event.seen && event.queries++ < kQueriesBeforeDone) return false;
  wait_on_host(event);
  return true;
}

void Runtime::wait_on_host(Event& event) {
  require_alive(device_of(event.stream));
  if (!event.seen) ++counts(event.stream).event_waits;
  event.seen = true;
  complete(event.stream, event.number);
  merge(host_, event.progress);
}

}  // namespace easel::testing::rehearsal
