// The program's flags, the same as environment variables and in a config file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/engine.h"
#include "easel/generation.h"
#include "easel/server.h"

namespace easel {

enum class Command { kServe, kDraw, kModels, kConvert };

struct ModelOptions {
  std::vector<std::string> models;  ///< folder or single file, or alias=path
  std::string models_dir;           ///< every checkpoint in it is served under its folder's or file's name
  std::vector<std::string> vaes;    ///< folder or file of an autoencoder for all models, or id=path for one
  std::vector<std::string> pinned;  ///< ids that are loaded at the start and stay
  std::string default_model;        ///< id; empty: the first of `models`, else the first of `models_dir`
  std::vector<std::string> devices{"auto"};
  std::string dtype = "auto";
  int threads = 0;                   ///< 0: as many as there are cores
  int max_generations_per_step = 0;  ///< 0: 1 on a CPU, 8 on a GPU
  std::string vae_tiling = "auto";
  std::string weights_dtype = "compute";
  std::string offload = "none";
  bool release_text_encoders = false;
  bool estimate_activations = true;                   ///< false: where nobody looks at ModelDescription::activations
  std::vector<std::pair<int, int>> estimated_sizes;   ///< width, height: `easel models` tells the memory for these, too
  PromptSyntax prompt_syntax = PromptSyntax::kPlain;  ///< of requests that name none
  std::string embeddings_dir;                         ///< textual inversions; empty for none
  std::string lora_dir;                               ///< folder of adapters; empty: none
  std::int64_t lora_memory = std::int64_t{512} << 20;  ///< bytes of adapters that each model keeps
};

struct DrawOptions {
  GenerationRequest request;
  std::string image;  ///< image file to begin from; empty for none
  std::string mask;   ///< image file that says where to redraw it
  bool seed_given = false;
  std::string output;   ///< file, PNG; with several images a number goes before the extension
  std::string timings;  ///< file for the seconds of each stage, JSON; empty for none
};

struct Options {
  Command command = Command::kServe;
  ModelOptions model;
  ServerOptions server;
  EngineOptions engine;
  bool allow_any_key = false;
  double request_timeout_s = 0;  ///< 0: none
  double keep_alive_s = 0;       ///< that a model stays in memory when idle; 0: for good
  double drain_timeout_s = 90;   ///< for what is being drawn when the program is told to stop; 0: no limit
  DrawOptions draw;
  std::string convert_path;  ///< checkpoint folder or .ckpt file
  std::string log_level = "info";
  std::string log_format = "text";
};

/// @return none when the program has said what was asked for (--help, --version) or what is wrong with the flags, and
///         should end with `exit_code`
std::optional<Options> parse_options(int argc, char** argv, int& exit_code);

}  // namespace easel
