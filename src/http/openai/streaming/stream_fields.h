// The fields of a request that ask for a stream of events.
#pragma once

#include <cstdint>

#include "http/transport/message.h"
#include "http/wire/fields.h"

namespace easel::http {

/// `x-easel-progress: 1` asks for progress events, as the field `progress` does.
inline constexpr char kProgressHeader[] = "x-easel-progress";
/// The largest value of `partial_images`, as OpenAI has it.
inline constexpr std::int64_t kMaxPartialImages = 3;

struct StreamFields {
  bool stream = false;              ///< the response is a stream of events
  std::int64_t partial_images = 0;  ///< rough images before the finished one
  bool progress = false;            ///< events with queue position and steps, too
};

/// @throws HttpFailure  400: a field is of another type or out of its range, or the header is neither 0 nor 1
StreamFields read_stream_fields(const Fields& fields, const Headers& headers);

/// @throws HttpFailure  400 with param n: a stream has one image, because its events do not say which image they are of
void check_one_image(std::int64_t num_images);

}  // namespace easel::http
