// Figures that parity tests measure, for the table in docs/measurements/parity.md: scripts/parity-table makes it of
// them.
#pragma once

#include <string>

namespace easel::testing {

/// How close results of one kind are to the reference's. Results of the same area, row and column are combined.
struct ParityResult {
  std::string area;    ///< a table of the page; the script says what its differences are measured in
  std::string row;     ///< what was compared: a scheduler, a family, an adapter format
  std::string column;  ///< how: a prediction type, a mode
  double largest_difference = 0;
  double share_equal = 1;  ///< the part of the compared numbers that are equal
};

/// Appends a line to the file that the environment variable EASEL_PARITY_FIGURES names, if it does. Programs that run
/// at the same time may name the same file. Texts without tabs and line breaks.
void record(const ParityResult& result);

}  // namespace easel::testing
