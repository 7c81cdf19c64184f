// numpy's SeedSequence: independent seeds for the parts of a computation, derived from one number.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace easel {

/// The result of np.random.SeedSequence(entropy, spawn_key=spawn_key, pool_size=pool_size).generate_state(count), after
/// O'Neill's seed_seq_fe ("Developing a seed_seq Alternative", 2015). Pure; thread-safe.
/// @param pool_size  at least 4
std::vector<std::uint32_t> seed_sequence(std::uint64_t entropy, std::span<const std::uint64_t> spawn_key,
                                         std::size_t pool_size, std::size_t count);

}  // namespace easel
