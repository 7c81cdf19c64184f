// When a model was last asked for an image.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "easel/engine.h"

namespace easel {

/// Notes that a model is used now, as the modification time of an empty file in $XDG_STATE_HOME/easel/last-use
/// (~/.local/state/easel/last-use). Where there is no such folder and none can be made, nothing is noted. Thread-safe.
/// @param path  of the model's folder or file
void note_use(const std::string& path);

/// @return none where no use was noted by this user
std::optional<std::chrono::system_clock::time_point> last_use(const std::string& path);

/// Makes the model note its use whenever a request for it is accepted, at most once a minute.
void note_requests(ServedModel& model);

}  // namespace easel
