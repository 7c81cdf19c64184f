// easel draw --like FILE: makes the image of a file again.
#pragma once

#include <string>
#include <vector>

#include "app/command_line/options.h"
#include "easel/engine.h"
#include "easel/image_metadata.h"

namespace easel {

/// Sets `draw.request` to the request that made the file's image, and remembers its record.
/// @throws Error(kNotFound)         the file cannot be read
/// @throws Error(kInvalidArgument)  it has no record of how easel made it
void load_like(const std::string& path, DrawOptions& draw);

/// Puts the model that made the image first, if it is served and --default-model names no other.
/// @throws Error(kInvalidArgument)  as read_image_record()
void put_recorded_model_first(const Options& options, std::vector<ServedModel>& models);

/// Writes every difference that can change the image to standard error.
/// @param request   complete, with its input images
/// @param upscaler  the model that upscales before the second pass; null: none does
/// @throws Error(kInvalidArgument)  the image was made from an image, and `request` has none
void report_differences(const Options& options, const GenerationRequest& request, const MetadataOptions& now,
                        const ModelDescription& model, const ModelDescription* upscaler);

}  // namespace easel
