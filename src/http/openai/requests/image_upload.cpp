#include "http/openai/requests/image_upload.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <utility>

#include "core/base64.h"
#include "core/text.h"
#include "http/openai/fields/form_fields.h"
#include "http/openai/fields/request_fields.h"
#include "http/transport/multipart.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxFiles = kMaxUploadedImages + 1;  // and the mask
constexpr std::size_t kFormFramingBytes = 64 * 1024;       // boundaries and part headers of an ordinary form

// Of all files of one request together.
std::size_t max_file_bytes(const ServerOptions& limits) {
  return std::min(kMaxFiles * limits.max_image_bytes, limits.max_upload_bytes);
}

HttpFailure wrong_content_type() {
  return HttpFailure({.status = 400,
                      .message = "The Content-Type of this request must be multipart/form-data or application/json.",
                      .code = "unsupported_content_type"});
}

// "image", also as clients number the entries of a list: "image[]", "image[0]".
bool is_image(std::string_view name) {
  constexpr std::string_view kName = "image";
  if (!name.starts_with(kName)) return false;
  const auto rest = name.substr(kName.size());
  return rest.empty() || (rest.starts_with('[') && rest.ends_with(']') &&
                          rest.substr(1, rest.size() - 2).find_first_not_of("0123456789") == std::string_view::npos);
}

bool is_file(std::string_view name) {
  return name == "mask" || is_image(name);
}

void add_image(ImageUpload& upload, std::string bytes) {
  if (upload.images.size() == kMaxUploadedImages) {
    throw field_error("image", "array_above_max_length",
                      concat("The request has more than ", kMaxUploadedImages, " images."));
  }
  upload.images.push_back(std::move(bytes));
}

ImageUpload upload_of(std::vector<FormPart> parts) {
  ImageUpload upload;
  std::vector<FormPart> texts;
  for (auto& part : parts) {
    // A browser sends a file without bytes and without a name for a field in which its user chose nothing.
    const bool is_absent = is_file(part.name) && part.content.empty() && !part.has_file_name;
    if (is_absent) continue;
    if (part.name == "images" || part.name.starts_with("images[")) {
      throw field_error("images", "invalid_value",
                        "`images` is a field of JSON bodies; in a form, each image is a part `image` or `image[]`.");
    }
    if (is_image(part.name)) {
      add_image(upload, std::move(part.content));
    } else if (part.name == "mask") {
      if (upload.mask) {
        throw field_error("mask", "duplicate_parameter", "`mask` was sent more than once; a request has one `mask`.");
      }
      upload.mask = std::move(part.content);
    } else {
      texts.push_back(std::move(part));
    }
  }
  upload.fields = form_to_json(texts);
  return upload;
}

ImageUpload read_form(const std::string& boundary, Client& client, const ServerOptions& limits) {
  std::optional<MultipartReader> reader(
      std::in_place, boundary,
      FormLimits{
          .max_text_bytes = limits.max_body_bytes, .max_file_bytes = limits.max_image_bytes, .is_file = &is_file});
  std::optional<ProtocolError> failure;
  client.receive_body(limits.max_body_bytes + max_file_bytes(limits) + kFormFramingBytes, [&](std::string_view piece) {
    if (!reader) return;
    try {
      reader->feed(piece);
    } catch (const ProtocolError& refused) {
      failure = refused;
      reader.reset();
    }
  });
  if (failure) throw *failure;
  return upload_of(reader->finish());
}

// An image in base64, with or without the prefix of a data URL. Links are not followed: clients could make the server
// send requests to any address that it can reach.
std::string decode_base64_image(const char* field, const std::string& text, std::size_t max_bytes) {
  std::string_view base64 = text;
  if (base64.starts_with("data:")) {
    const auto comma = base64.find(',');
    if (comma == std::string_view::npos || !base64.substr(0, comma).ends_with(";base64")) {
      throw field_error(field, "invalid_value", concat("`", field, "` is a data URL that is not in base64."));
    }
    base64.remove_prefix(comma + 1);
  } else if (base64.find("://") != std::string_view::npos) {
    throw field_error(field, "invalid_value",
                      concat("`", field, "` is a link, and this server follows no links; send the image itself."));
  }
  const HttpFailure too_large({.status = 413,
                               .message = concat("The file \"", field, "\" has more than ", max_bytes, " bytes."),
                               .param = field});
  // Line breaks of two bytes after every 64 characters make the text a thirty-second longer.
  const auto most_digits = (max_bytes / 3 + 1) * 4;
  if (base64.size() > most_digits + most_digits / 32) throw too_large;
  auto bytes = base64_decode_any(base64);
  if (bytes && bytes->size() > max_bytes) throw too_large;
  if (!bytes) throw field_error(field, "invalid_value", concat("`", field, "` is not valid base64."));
  return std::move(*bytes);
}

// A member of an object; null where it is absent or null.
const json* find_member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// The text in {"image_url": text}, in {"image_url": {"url": text}}, as OpenAI's chat has it, or in {"b64_json": text},
// as responses have it.
const json& text_of_image(const char* field, const json& object) {
  if (find_member(object, "file_id")) {
    throw field_error(
        field, "invalid_value",
        concat("`", field, "` has a `file_id`, and this server keeps no files; send the image itself as `image_url`."));
  }
  const auto* base64 = find_member(object, "b64_json");
  const auto* url = find_member(object, "image_url");
  if (base64 && url) {
    throw field_error(field, "invalid_value", concat("`", field, "` has both `image_url` and `b64_json`; send one."));
  }
  if (url && url->is_object()) url = find_member(*url, "url");
  if (!base64 && !url) {
    throw field_error(field, "missing_required_parameter",
                      concat("`", field, "` has neither `image_url` nor `b64_json`."));
  }
  return base64 ? *base64 : *url;
}

// A text, or an object that text_of_image() reads.
std::string read_json_image(const char* field, const json& value, std::size_t max_bytes) {
  const json* text = value.is_object() ? &text_of_image(field, value) : &value;
  if (!text->is_string()) throw wrong_type(field, "a string", *text);
  return decode_base64_image(field, text->get_ref<const std::string&>(), max_bytes);
}

// Size of a JSON text without its `kMaxFiles` longest strings, which are the images of an ordinary request.
std::size_t bytes_outside_images(std::string_view text) {
  std::array<std::size_t, kMaxFiles> longest{};
  std::size_t at = 0;
  while ((at = text.find('"', at)) < text.size()) {
    const auto begin = ++at;
    while ((at = text.find_first_of("\"\\", at)) < text.size() && text[at] != '"') at += 2;
    at = std::min(at, text.size());
    auto& shortest = *std::min_element(longest.begin(), longest.end());
    shortest = std::max(shortest, at - begin);
    ++at;
  }
  return std::accumulate(longest.begin(), longest.end(), text.size(), std::minus<>());
}

HttpFailure too_long_outside_images(std::size_t bytes, std::size_t max_bytes) {
  return HttpFailure({.status = 413,
                      .message = concat("The request's JSON has ", bytes, " bytes in addition to its images; at most ",
                                        max_bytes, " are allowed.")});
}

// Length of all texts in a value.
std::size_t text_bytes(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().size();
  std::size_t bytes = 0;
  if (value.is_structured()) {
    for (const auto& entry : value) bytes += text_bytes(entry);
  }
  return bytes;
}

// Parsed numbers and names take many times the memory of their text, so only images may be as long as images.
nlohmann::json parse_json_with_images(const std::string& text, std::size_t max_bytes) {
  if (const auto bytes = bytes_outside_images(text); bytes > max_bytes) throw too_long_outside_images(bytes, max_bytes);
  return parse_json_object(text);
}

// One image, or a list of them. An empty list is an error, as any other array's is.
void read_json_images(const char* field, const json& value, std::size_t max_bytes, ImageUpload& upload) {
  if (!value.is_array()) return add_image(upload, read_json_image(field, value, max_bytes));
  check_array(field, value, /*max_count=*/value.size());
  for (const auto& image : value) {
    add_image(upload, read_json_image(field, image, max_bytes));
  }
}

ImageUpload read_json(Client& client, const ServerOptions& limits) {
  const auto base64_bytes = (max_file_bytes(limits) / 3 + kMaxFiles) * 4;
  ImageUpload upload;
  upload.fields = parse_json_with_images(client.read_body(limits.max_body_bytes + base64_bytes), limits.max_body_bytes);
  const Fields fields(upload.fields);
  if (const auto* image = fields.find("image")) read_json_images("image", *image, limits.max_image_bytes, upload);
  if (const auto* images = fields.find("images")) {
    if (!images->is_array()) throw wrong_type("images", "an array", *images);
    read_json_images("images", *images, limits.max_image_bytes, upload);
  }
  if (const auto* mask = fields.find("mask")) upload.mask = read_json_image("mask", *mask, limits.max_image_bytes);
  for (const auto& field : request_fields()) {
    if (type_of(field) == FieldType::kFile) upload.fields.erase(field.name);
  }
  // A text that is not an image must not be as long as an image.
  if (const auto bytes = text_bytes(upload.fields); bytes > limits.max_body_bytes) {
    throw too_long_outside_images(bytes, limits.max_body_bytes);
  }
  return upload;
}

}  // namespace

ImageUpload read_upload(const RequestHead& head, Client& client, const ServerOptions& limits) {
  const auto* type = head.headers.find("Content-Type");
  if (!type) throw wrong_content_type();
  if (const auto boundary = form_boundary(*type)) return read_form(*boundary, client, limits);
  const auto media_type = trimmed(std::string_view(*type).substr(0, type->find(';')));
  if (!equal_ignoring_case(media_type, "application/json")) throw wrong_content_type();
  return read_json(client, limits);
}

}  // namespace easel::http
