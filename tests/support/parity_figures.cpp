#include "support/parity_figures.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace easel::testing {

void record(const ParityFigure& figure) {
  const char* path = std::getenv("EASEL_PARITY_FIGURES");
  if (path == nullptr) return;
  std::ostringstream line;
  line << figure.area << '\t' << figure.row << '\t' << figure.column << '\t' << figure.largest_difference << '\t'
       << figure.share_equal << '\n';
  // Written at once to a file open for appending, so that lines of several programs do not mix.
  std::ofstream(path, std::ios::app) << line.str();
}

}  // namespace easel::testing
