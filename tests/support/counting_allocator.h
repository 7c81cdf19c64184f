// What a piece of CPU code really asks libtorch's allocator for.
#pragma once

#include <cstdint>
#include <functional>

namespace easel::testing {

/// Runs `work` with an allocator that counts; the largest sum of bytes that it held at once. Whatever goes through
/// libtorch's CPU allocator counts, oneDNN's workspaces included. Not for several threads at a time.
std::int64_t peak_allocated_bytes(const std::function<void()>& work);

}  // namespace easel::testing
