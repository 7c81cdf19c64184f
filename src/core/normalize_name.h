// Compares names the way people type them.
#pragma once

#include <string>
#include <string_view>

namespace easel {

/// Maps different spellings of a name to one: ASCII letters become lower case, "+" becomes "p", and each run of spaces,
/// hyphens and underscores becomes one underscore, or nothing at the ends. "DPM++ 2M Karras", "dpm++-2m_karras" and
/// "dpmpp_2m_karras" give the same result.
std::string normalize_name(std::string_view written);

}  // namespace easel
