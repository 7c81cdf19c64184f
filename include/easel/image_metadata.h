// What an image file says about how the image was made. This header does not need libtorch.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace easel {

class FileHashes;

/// The value of the XMP property Iptc4xmpExt:DigitalSourceType, from IPTC's vocabulary of digital source types.
enum class DigitalSource {
  kTrainedAlgorithmicMedia,               ///< the whole image was made by a model
  kCompositeWithTrainedAlgorithmicMedia,  ///< a model changed an existing image
};

/// Metadata of an image file. Empty members are not written.
struct ImageMetadata {
  std::string parameters = {};  ///< UTF-8; AUTOMATIC1111's text, see ParametersText
  std::string record = {};      ///< a JSON object in ASCII: how the image was made, in easel's own terms
  std::optional<DigitalSource> source = std::nullopt;
};

/// What is written into image files, and what their records say about the program.
struct MetadataOptions {
  bool embed = false;                   ///< how the image was made: `parameters` and `record`
  bool mark = false;                    ///< that it was made by a machine: `source`
  std::string version = {};             ///< of easel
  std::string libtorch = {};            ///< its version
  std::string device = {};              ///< "cpu", or "cuda:0" and so on
  std::string dtype = {};               ///< of models that do not say what they compute in
  std::string prompt_syntax = "plain";  ///< of requests that name none; or "a1111"
  /// Knows the hashes of models that are one file; null: files of images have none of these. See metadata.md.
  std::shared_ptr<FileHashes> file_hashes = nullptr;
};

/// AUTOMATIC1111's `parameters` text: the prompt, a line "Negative prompt: ...", and a line of settings, for example
/// "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512".
struct ParametersText {
  std::string prompt = {};                                         ///< UTF-8, any number of lines
  std::string negative_prompt = {};                                ///< UTF-8; empty: the text has no such line
  std::vector<std::pair<std::string, std::string>> settings = {};  ///< names and values, in the order of the text
};

/// The text that AUTOMATIC1111's web UI parses back to the same members, except that it removes white space at the ends
/// of lines. A value with a comma, a colon or a line break is written as a JSON string. Thread-safe.
/// @param text  names of settings begin with a letter or a digit and consist of letters, digits, spaces and "-/_"
std::string write_parameters(const ParametersText& text);

/// Parses as AUTOMATIC1111's parse_generation_parameters does: the last line holds the settings if it has at least
/// three. Accepts any text. Thread-safe.
ParametersText parse_parameters(std::string_view text);

/// The metadata that encode() wrote into a PNG, JPEG or WebP file, and `parameters` texts of other programs. Members
/// that the file does not have, or whose bytes are damaged, are empty; of any other file, all are. Thread-safe.
ImageMetadata read_metadata(std::string_view file);

}  // namespace easel
