// Runs a fuzz target without libFuzzer, on its seed corpus and on random mutations of it, for a bounded time.
//
//   TARGET_driver                 runs the test: 200,000 inputs, or as many as ten seconds allow
//   TARGET_driver --seeds FOLDER  writes the seed corpus as files, from which libFuzzer can start
//   TARGET_driver FILE...         runs these inputs, for example an input that libFuzzer found
#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "mutate.h"
#include "seeds.h"

namespace {

constexpr int kInputs = 200'000;
constexpr std::chrono::seconds kTime{10};
constexpr std::size_t kMaxCorpusSize = 64;

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

int run_mutated_seeds() {
  std::mt19937_64 random(1);
  std::vector<std::string> inputs = easel::seed_corpus();
  for (const auto& seed : inputs) run(seed);
  const auto end = std::chrono::steady_clock::now() + kTime;
  int count = 0;
  for (; count < kInputs && std::chrono::steady_clock::now() < end; ++count) {
    std::string input = easel::mutate(inputs[random() % inputs.size()], random);
    run(input);
    // Occasionally, mutate an input that is already a mutation.
    if (count % 100 != 0) continue;
    if (inputs.size() < kMaxCorpusSize) {
      inputs.push_back(std::move(input));
    } else {
      inputs = easel::seed_corpus();
    }
  }
  std::cout << count << " inputs without a finding\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) return run_mutated_seeds();
  if (arguments.size() == 2 && arguments[0] == "--seeds") {
    easel::write_seeds(arguments[1]);
    return 0;
  }
  for (const auto& path : arguments) {
    std::ifstream file(path, std::ios::binary);
    run({std::istreambuf_iterator<char>(file), {}});
    std::cout << path << ": no finding\n";
  }
  return 0;
}
