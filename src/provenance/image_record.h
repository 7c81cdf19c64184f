// How an image was made, for the metadata of its file, and back from there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/image_metadata.h"

namespace easel {

/// Makes the metadata of the images of one request.
///
/// `parameters` has the request as AUTOMATIC1111's users write it; adapters that were chosen by a field are appended to
/// the prompt as <lora:NAME:WEIGHT>. `record` is a JSON object with `software`, `libtorch`, `device`, `dtype`, `model`,
/// `model_hash`, `request` (with which the image can be made again), and, where the request had them, `image_hash`,
/// `mask_hash` and `upscaler_hash`. Of a model that is one file, both have the hash that model sites show, once it is
/// known. Both have one image's own seed and size, and the steps, the scheduler, the guidance scale and the
/// prompt syntax that were used where the request named none. Thread-safe.
using MetadataOf = std::function<ImageMetadata(const GeneratedImage& image)>;

/// @param request  complete, with the images that it started from
/// @param upscaler  the model that HiresPass::upscaler_model names; null: there is none
MetadataOf metadata_of_request(const GenerationRequest& request, const ModelDescription& model,
                               const MetadataOptions& options, const ModelDescription* upscaler = nullptr);

/// The first ten digits of the SHA-256 hash of a model that is one file, by which model sites know it ("AutoV2").
/// Empty: it is a folder, or its hash is not known yet.
std::string shown_hash(const ModelDescription& model, const MetadataOptions& options);

/// A record that was read from a file.
struct ImageRecord {
  GenerationRequest request;  ///< of this one image, without the images that it started from
  std::string model, model_hash;
  std::string image_hash, mask_hash, upscaler_hash;  ///< empty: the request had none
  MetadataOptions made_with;                         ///< its version, libtorch, device and dtype
};

/// @param record  ImageMetadata::record
/// @throws Error(kInvalidArgument)  it is empty or not a record of easel, or a field has the wrong type
ImageRecord read_image_record(const std::string& record);

/// What is different now, each as a sentence that names both values. An image is equal to the bit only without any.
/// @param request  that will be made
/// @param upscaler  as in metadata_of_request
std::vector<std::string> differences(const ImageRecord& record, const GenerationRequest& request,
                                     const ModelDescription& model, const MetadataOptions& options,
                                     const ModelDescription* upscaler = nullptr);

}  // namespace easel
