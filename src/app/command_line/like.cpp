#include "app/command_line/like.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "core/text.h"
#include "easel/error.h"
#include "provenance/image_record.h"

namespace easel {

void load_like(const std::string& path, DrawOptions& draw) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  if (!file) throw Error(ErrorCode::kNotFound, concat("cannot read ", path));
  draw.like_record = read_metadata(bytes).record;
  try {
    draw.request = read_image_record(draw.like_record).request;
  } catch (const Error& e) {
    throw Error(e.code(), concat(path, ": ", e.what()));
  }
  draw.like = path;
}

void put_recorded_model_first(const Options& options, std::vector<ServedModel>& models) {
  const auto record = read_image_record(options.draw.like_record);
  const auto found = std::find_if(models.begin(), models.end(),
                                  [&](const ServedModel& model) { return model.description.id == record.model; });
  if (options.model.default_model.empty() && found != models.end()) std::rotate(models.begin(), found, found + 1);
}

void report_differences(const Options& options, const GenerationRequest& request, const MetadataOptions& now,
                        const ModelDescription& model, const ModelDescription* upscaler) {
  const auto& path = options.draw.like;
  const auto record = read_image_record(options.draw.like_record);
  if (!record.image_hash.empty() && !request.image)
    throw Error(ErrorCode::kInvalidArgument, concat(path, " was made from an image; give it with --image"));
  if (!record.mask_hash.empty() && !request.mask)
    throw Error(ErrorCode::kInvalidArgument, concat(path, " was made with a mask; give it with --mask"));
  for (const auto& difference : differences(record, request, model, now, upscaler))
    std::fprintf(stderr, "easel: the image will differ from %s: %s\n", path.c_str(), difference.c_str());
}

}  // namespace easel
