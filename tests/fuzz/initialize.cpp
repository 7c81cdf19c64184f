// What the libFuzzer programs do besides libFuzzer's own work: `TARGET --seeds FOLDER` writes the seed corpus and ends.
#include <cstdlib>
#include <string_view>

#include "seeds.h"

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments);

int LLVMFuzzerInitialize(int* count, char*** arguments) {
  if (*count == 3 && std::string_view((*arguments)[1]) == "--seeds") {
    easel::write_seeds((*arguments)[2]);
    std::exit(0);
  }
  return 0;
}
