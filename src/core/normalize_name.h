// Names as people type them.
#pragma once

#include <string>
#include <string_view>

namespace easel {

/// One spelling for many: ASCII letters in lower case, "+" as "p", and each run of spaces, hyphens and underscores as
/// one underscore; those at the ends are dropped. "DPM++ 2M Karras", "dpm++-2m_karras" and "dpmpp_2m_karras" are one
/// name.
std::string normalize_name(std::string_view written);

}  // namespace easel
