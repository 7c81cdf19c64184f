#include "http/openai/responses/image_result.h"

#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base64.h"
#include "core/log.h"
#include "core/text.h"
#include "http/openai/responses/public_text.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using nlohmann::ordered_json;

ordered_json usage_json(const Usage& usage) {
  const auto input = usage.text_tokens + usage.input_image_tokens;
  return {{"total_tokens", input + usage.output_image_tokens},
          {"input_tokens", input},
          {"output_tokens", usage.output_image_tokens},
          {"input_tokens_details", {{"text_tokens", usage.text_tokens}, {"image_tokens", usage.input_image_tokens}}},
          {"output_tokens_details", {{"image_tokens", usage.output_image_tokens}, {"text_tokens", 0}}}};
}

// As text where some clients would not read the number exactly.
std::string seed_text(std::uint64_t seed) {
  return seed <= kLargestExactJsonInteger ? std::to_string(seed) : concat('"', seed, '"');
}

// What every response and every event says about its images.
ordered_json image_members(int width, int height, const ResponseOptions& options) {
  return {{"size", concat(width, "x", height)},
          {"quality", options.quality},
          {"background", "opaque"},
          {"output_format", format_name(options.output.format)}};
}

std::string members_text(const ordered_json& object) {
  const auto text = json_text(object);
  return text.substr(1, text.size() - 2);
}

// The link to a file that is now in the store; none when the file does not fit and is still in the item.
std::optional<std::string> keep(ImageResult::Item& item, ImageFormat format, ImageStore& store,
                                const std::string& link_base) {
  if (!item.stored_id.empty()) return link_base + stored_image_path(item.stored_id, format);
  StoredImage image{.bytes = std::move(item.file), .format = format};
  const auto id = store.add(std::move(image));
  if (id) return link_base + stored_image_path(*id, format);
  // add() leaves what it does not keep. NOLINTNEXTLINE(bugprone-use-after-move)
  item.file = std::move(image.bytes);
  return std::nullopt;
}

void append_item(ImageResult::Item& item, const ResponseOptions& options, ImageStore& store,
                 const std::string& link_base, std::string& text) {
  text += '{';
  bool base64 = options.base64;
  std::string encoded;
  if (base64) encoded = base64_encode(item.file);
  if (options.link) {
    const auto bytes = item.file.size();
    if (const auto link = keep(item, options.output.format, store, link_base)) {
      text += concat(R"("url":)", json_text(*link), ',');
    } else {
      log::warning("an image does not fit into the store for links; it was sent as base64", {{"bytes", bytes}});
      if (!base64) encoded = base64_encode(item.file);
      base64 = true;
    }
  }
  // Base64 needs no escaping, so that megabytes of it are appended as they are instead of passing through a JSON
  // library.
  if (base64) text.append(R"("b64_json":")").append(encoded).append(R"(",)");
  item.file = {};
  text += concat(R"("seed":)", seed_text(item.seed), R"(,"prompt_cut":)", item.prompt_cut ? "true" : "false", '}');
}

}  // namespace

std::int64_t image_tokens(int width, int height, int cell) {
  constexpr std::int64_t kCellsPerToken = 4;
  const auto cells = [&](int edge) { return (std::int64_t{edge} + cell - 1) / cell; };
  return cells(width) * cells(height) / kCellsPerToken;
}

HttpError result_error(const Error& error, const ResultContext& context) {
  auto result = generation_error(error);
  if (result.detail.empty()) result.detail = result.message;
  result.message = without_folders(std::move(result.message), context.model_folders);
  return result;
}

int max_edge_of(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return 65'500;
    case ImageFormat::kWebp:
      return 16'383;
    case ImageFormat::kPng:
      break;
  }
  return std::numeric_limits<int>::max();
}

ImageResult make_result(std::vector<GeneratedImage> images, std::int64_t created, ResultContext context) {
  ImageResult result{.created = created, .seed = context.seed, .options = std::move(context.options)};
  result.usage.input_image_tokens = context.input_image_tokens;
  if (!images.empty()) {
    result.width = images.front().image.width;
    result.height = images.front().image.height;
    result.usage.text_tokens = images.front().prompt_tokens;
  }
  for (auto& generated : images) {
    const auto metadata = context.metadata ? context.metadata(generated) : ImageMetadata();
    const auto image = std::exchange(generated.image, {});
    result.usage.output_image_tokens += image_tokens(image.width, image.height, context.cell);
    result.items.push_back({.file = encode(image, result.options.output, metadata),
                            .seed = generated.seed,
                            .prompt_cut = generated.prompt_cut});
  }
  return result;
}

std::string result_members(const ImageResult& result) {
  const auto& options = result.options;
  auto members = image_members(result.width, result.height, options);
  members["usage"] = usage_json(result.usage);
  if (options.resized_from)
    members["resized_from"] = concat(options.resized_from->first, "x", options.resized_from->second);
  if (options.images_used) members["images_used"] = *options.images_used;
  if (!options.ignored.empty()) members["ignored"] = options.ignored;
  return members_text(members);
}

std::string partial_image_members(const Image& image, std::int64_t created, const ResponseOptions& options) {
  return concat(R"("b64_json":")", base64_encode(encode(image, options.output)), R"(","created_at":)", created, ',',
                members_text(image_members(image.width, image.height, options)));
}

std::string completed_image_members(ImageResult result) {
  auto& item = result.items.at(0);
  return concat(R"("b64_json":")", base64_encode(std::exchange(item.file, {})), R"(","created_at":)", result.created,
                ',', result_members(result), R"(,"seed":)", seed_text(item.seed), R"(,"prompt_cut":)",
                item.prompt_cut ? "true" : "false");
}

std::string image_response_body(ImageResult result, ImageStore& store, const std::string& link_base) {
  std::size_t file_bytes = 0;
  for (const auto& item : result.items) file_bytes += item.file.size();
  std::string text = concat(R"({"created":)", result.created, ',', result_members(result), R"(,"seed":)",
                            seed_text(result.seed), R"(,"data":[)");
  constexpr std::size_t kJsonBytesPerImage = 256;
  const auto base64_bytes = result.options.base64 ? file_bytes / 3 * 4 : 0;
  text.reserve(text.size() + base64_bytes + kJsonBytesPerImage * (result.items.size() + 1));
  for (auto& item : result.items) {
    if (&item != &result.items.front()) text += ',';
    append_item(item, result.options, store, link_base, text);
  }
  text += "]}";
  return text;
}

std::string stored_image_path(const std::string& id, ImageFormat format) {
  return concat("/v1/images/files/", id, file_extension(format));
}

}  // namespace easel::http
