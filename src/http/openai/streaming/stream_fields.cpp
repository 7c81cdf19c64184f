#include "http/openai/streaming/stream_fields.h"

#include <string>

#include "core/text.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

bool asks_for_progress(const Headers& headers) {
  const auto* value = headers.find(kProgressHeader);
  if (!value) return false;
  const auto text = trimmed(*value);
  if (text == "1") return true;
  if (text == "0") return false;
  throw HttpFailure({.status = 400,
                     .message = concat("The header ", kProgressHeader, " is ", quote(*value), "; expected 1 or 0."),
                     .code = "invalid_value"});
}

}  // namespace

StreamFields read_stream_fields(const Fields& fields, const Headers& headers) {
  const bool header = asks_for_progress(headers);
  return {.stream = fields.boolean("stream").value_or(false),
          .partial_images = fields.integer("partial_images", 0, kMaxPartialImages).value_or(0),
          .progress = fields.boolean("progress").value_or(header)};
}

void check_one_image(std::int64_t num_images) {
  if (num_images == 1) return;
  throw field_error(
      "n", "unsupported_parameter",
      concat("`n` is ", num_images, ", but a stream has one image; ask for the others without `stream`."));
}

}  // namespace easel::http
