#include "core/normalize_name.h"

namespace easel {

std::string normalize_name(std::string_view written) {
  std::string plain;
  bool separated = false;
  for (const char c : written) {
    if (c == ' ' || c == '-' || c == '_') {
      separated = !plain.empty();
      continue;
    }
    if (separated) plain += '_';
    separated = false;
    const bool upper = c >= 'A' && c <= 'Z';
    plain += c == '+' ? 'p' : upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return plain;
}

}  // namespace easel
