// What each fuzz target provides, for libFuzzer or for the plain driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Reads one input. Returns 0; anything else than returning is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace easel {

/// Inputs to begin from: valid ones, and near misses.
std::vector<std::string> seed_corpus();

}  // namespace easel
