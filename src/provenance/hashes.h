// Hashes by which models and images are recognised again.
#pragma once

#include <string>

#include "easel/image.h"

namespace easel {

/// A SHA-256 hash over the names, the sizes and samples of the weight files of a checkpoint: eight pieces of 16 KiB of
/// each .safetensors and .gguf file, evenly spaced. It takes milliseconds, and two models whose weights differ
/// throughout have different hashes. It is not the hash of the whole file that model sites show: see FileHashes.
/// @param path  a folder or a file
/// @return 64 hexadecimal digits; empty when a file cannot be read
std::string model_hash(const std::string& path);

/// SHA-256 of the size and the pixels of an image, in hexadecimal digits.
std::string image_hash(const Image& image);

}  // namespace easel
