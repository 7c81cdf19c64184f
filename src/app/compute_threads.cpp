#include "app/compute_threads.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "tensor/parallel.h"

namespace easel {
namespace {

/// libgomp and libtorch's own pool do not survive it when the system gives too few threads, so it is asked for as many
/// first.
void require_threads(std::size_t count) {
  std::latch done(1);  // all of them exist at the same time
  std::vector<std::jthread> probes;
  probes.reserve(count);
  try {
    while (probes.size() + 1 < count) probes.emplace_back([&done] { done.wait(); });
  } catch (const std::system_error&) {
    done.count_down();
    throw Error(ErrorCode::kUnavailable,
                concat("the system gives ", probes.size() + 1, " of the ", count, " threads that compute: raise the ",
                       "limit of processes (ulimit -u, or pids_limit of a container), or give a smaller --threads"));
  }
  done.count_down();
}

}  // namespace

void make_compute_threads() {
  const auto count = std::max(at::get_num_threads(), 1);
  require_threads(static_cast<std::size_t>(count));
  parallel_for(0, count, 1, [](std::int64_t, std::int64_t) {});
}

void set_compute_threads(int count) {
  require_threads(static_cast<std::size_t>(count > 0 ? count : std::max(at::get_num_threads(), 1)));
  if (count > 0) at::set_num_threads(count);
}

void load_on_own_thread(ServedModel& model) {
  model.load = [load = std::move(model.load)](const std::string& device, const LoadProgress& progress) {
    return on_own_thread([&] {
      make_compute_threads();
      return load(device, progress);
    });
  };
}

}  // namespace easel
