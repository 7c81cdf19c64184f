// The memory that a piece of CPU code requests from libtorch's allocator.
#pragma once

#include <cstdint>
#include <functional>

namespace easel::testing {

/// Runs `work` and returns the largest number of bytes that it held at once. Everything that goes through libtorch's
/// CPU allocator counts, oneDNN's workspaces included. One thread at a time.
std::int64_t peak_allocated_bytes(const std::function<void()>& work);

}  // namespace easel::testing
