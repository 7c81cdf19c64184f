#include "http/openai/streaming/stream_options.h"

#include "core/text.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"

namespace easel::http {

bool read_progress_header(const Headers& headers) {
  const auto* value = headers.find(kProgressHeader);
  if (!value) return false;
  const auto text = trimmed(*value);
  if (text == "1") return true;
  if (text == "0") return false;
  throw HttpFailure({.status = 400,
                     .message = concat("The header ", kProgressHeader, " is ", quote(*value), "; expected 1 or 0."),
                     .code = "invalid_value"});
}

void check_one_image(std::int64_t num_images) {
  if (num_images == 1) return;
  throw field_error(
      "n", "unsupported_parameter",
      concat("`n` is ", num_images, ", but a stream has one image; ask for the others without `stream`."));
}

}  // namespace easel::http
