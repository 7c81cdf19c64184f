// What a request says about its stream of events.
#pragma once

#include <cstdint>
#include <optional>

#include "http/transport/message.h"

namespace easel::http {

/// `x-easel-progress: 1` asks for progress events, as the field `progress` does.
inline constexpr char kProgressHeader[] = "x-easel-progress";
/// The largest value of `partial_images`, as OpenAI has it.
inline constexpr std::int64_t kMaxPartialImages = 3;

struct StreamOptions {
  bool enabled = false;               ///< the response is a stream of events
  std::int64_t partial_images = 0;    ///< rough images before the finished one
  std::optional<bool> progress = {};  ///< events with queue position and steps, too; none: as the header says
};

/// @throws HttpFailure(400)  the header is neither 0 nor 1
bool read_progress_header(const Headers& headers);

/// @throws HttpFailure(400)  with param n: a stream has one image, because its events do not say which image they are
/// of
void check_one_image(std::int64_t num_images);

}  // namespace easel::http
