// Names that nobody can guess.
#pragma once

#include <string>

namespace easel::http {

/// 128 bits from the system's random source, as 32 hexadecimal digits in lower case. Thread-safe.
std::string random_id();

}  // namespace easel::http
