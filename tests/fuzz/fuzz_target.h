// The functions that each fuzz target provides, for libFuzzer and for the plain driver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Reads one input and returns 0. A crash or an exception is a finding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace easel {

/// Inputs from which mutation starts: valid ones, and ones that are almost valid.
std::vector<std::string> seed_corpus();

}  // namespace easel
