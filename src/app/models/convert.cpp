// easel convert: writes safetensors files for checkpoints whose weights are only pickled, and smaller copies of
// weights.
#include "weights/convert/convert.h"

#include <cstdio>

#include "app/command_line/commands.h"
#include "weights/convert/quantize.h"

namespace easel {

int convert(const Options& options) {
  const auto progress = [](const std::string& source, std::size_t done, std::size_t total) {
    std::fprintf(stderr, "\r%s: %zu/%zu tensors%s", source.c_str(), done, total, done == total ? "\n" : "");
  };
  const auto files =
      options.model.quantize.empty()
          ? convert_checkpoint(options.convert_path, progress)
          : quantize_checkpoint(options.convert_path, parse_quantization(options.model.quantize), progress);
  for (const auto& file : files) std::printf("%s: %zu tensors\n", file.target.c_str(), file.tensors);
  if (files.empty()) std::printf("%s: nothing to convert\n", options.convert_path.c_str());
  return 0;
}

}  // namespace easel
