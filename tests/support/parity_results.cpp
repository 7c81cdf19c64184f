#include "support/parity_results.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace easel::testing {

void record(const ParityResult& result) {
  const char* path = std::getenv("EASEL_PARITY_FIGURES");
  if (path == nullptr) return;
  std::ostringstream line;
  line << result.area << '\t' << result.row << '\t' << result.column << '\t' << result.largest_difference << '\t'
       << result.share_equal << '\n';
  // Written at once to a file open for appending, so that lines of several programs do not mix.
  std::ofstream(path, std::ios::app) << line.str();
}

}  // namespace easel::testing
