// How deeply JSON from a file or a request may be nested.
#pragma once

#include <nlohmann/json.hpp>

namespace easel {

/// Lists and objects within each other. Far above what any real file or request needs. nlohmann's parser keeps a stack
/// of its own, but copying, printing and comparing recurse.
inline constexpr int kMaxJsonDepth = 64;

/// For the callback of nlohmann's parser: whether this event opens a list or an object beyond kMaxJsonDepth.
inline bool exceeds_max_json_depth(int depth, nlohmann::json::parse_event_t event) {
  using Event = nlohmann::json::parse_event_t;
  return depth >= kMaxJsonDepth && (event == Event::object_start || event == Event::array_start);
}

}  // namespace easel
