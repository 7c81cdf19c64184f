// Writes image files with metadata for read_image_files.py. Usage: write_image_files FOLDER
//
// The file N.EXTENSION has the metadata of case N, and cases.json lists what was written.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "easel/image_output.h"
#include "support/image_files.h"

namespace easel {
namespace {

using nlohmann::json;

const ParametersText kTexts[] = {
    {"a fox in the snow",
     "blurry, low quality",
     {{"Steps", "20"},
      {"Sampler", "Euler a"},
      {"CFG scale", "7.5"},
      {"Seed", "18446744073709551615"},
      {"Size", "512x768"}}},
    {"naïve Füchse, \"red\"\nsecond line",
     "",
     {{"Steps", "4"}, {"Schedule type", "Karras"}, {"Seed", "0"}, {"Lora hashes", "ink: 0a1b, line art: \"2c\""}}},
    {"狐 \xF0\x9F\xA6\x8A",
     "Steps: 1, Seed: 2, Size: 3",
     {{"Steps", "1"}, {"Seed", "7"}, {"Model", "a, b\\c"}, {"Clip skip", "2"}}}};

json as_json(const ParametersText& text, const ImageMetadata& metadata) {
  json settings = json::object();
  for (const auto& [name, value] : text.settings) settings[name] = value;
  return {{"prompt", text.prompt},
          {"negative_prompt", text.negative_prompt},
          {"settings", settings},
          {"parameters", metadata.parameters},
          {"record", metadata.record},
          {"composite", metadata.source == DigitalSource::kCompositeWithTrainedAlgorithmicMedia}};
}

void write_image_files(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto image = testing::gradient(48, 32);
  json cases = json::array();
  for (const auto& text : kTexts) {
    const ImageMetadata metadata{.parameters = write_parameters(text),
                                 .record = json{{"prompt", text.prompt}, {"seed", cases.size()}}.dump(-1, ' ', true),
                                 .source = cases.empty() ? DigitalSource::kTrainedAlgorithmicMedia
                                                         : DigitalSource::kCompositeWithTrainedAlgorithmicMedia};
    for (const auto format : {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp}) {
      const auto name = std::to_string(cases.size()) + std::string(file_extension(format));
      std::ofstream(folder / name, std::ios::binary) << encode(image, {.format = format}, metadata);
    }
    cases.push_back(as_json(text, metadata));
  }
  std::ofstream(folder / "cases.json") << cases;
}

}  // namespace
}  // namespace easel

int main(int, char** argv) {
  easel::write_image_files(argv[1]);
  return 0;
}
