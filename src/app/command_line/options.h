// The program's options: flags, which may also be set by environment variables or in a config file.
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

enum class Command { kServe, kDraw, kModels, kConvert, kPull, kRemove, kHealth };

struct ModelFlags {
  std::vector<std::string> models;        ///< folder or single file, or alias=path
  std::string models_dir;                 ///< every checkpoint in it is served, under the name of its folder or file
  std::vector<std::string> vaes;          ///< folder or file of an autoencoder for all models, or id=path for one model
  std::vector<std::string> preview_vaes;  ///< the same for previews: of an AutoencoderTiny
  std::vector<std::string> variants;      ///< of the weights in folders: for all models, or id=name for one
  std::vector<std::string> components;    ///< id.role=path
  std::string quantize;                   ///< of the weights when they are loaded: "fp8", "q8_0"; empty: no change
  std::vector<std::string> ignored_tensors;  ///< patterns of tensors that models may leave over
  std::vector<std::string> pinned;           ///< ids of models that are loaded at the start and stay in memory
  std::string default_model;                 ///< id; empty: the first of `models`, else the first of `models_dir`
  std::vector<std::string> devices{"auto"};
  std::string dtype = "auto";
  int threads = 0;                   ///< CPU threads; 0: one per core
  int max_generations_per_step = 0;  ///< 0: 1 on a CPU, 8 on a GPU
  std::string vae_tiling = "auto";
  std::string weights_dtype = "compute";
  std::string offload = "none";
  std::string tf32 = "on";
  bool release_text_encoders = false;
  bool estimate_activations = true;                   ///< fill ModelDescription::activations
  bool list_all = false;                              ///< `easel models` lists what is passed over, too
  std::vector<std::pair<int, int>> estimated_sizes;   ///< width, height; `easel models` shows the memory for these, too
  PromptSyntax prompt_syntax = PromptSyntax::kPlain;  ///< of requests that name none
  std::string embeddings_dir;                         ///< folder of textual inversions; empty: none
  std::string lora_dir;                               ///< folder of LoRA files; empty: none
  std::int64_t lora_memory = std::int64_t{512} << 20;  ///< bytes of LoRA files that each model keeps in memory
};

/// The flags of `easel draw` for a second pass. None is given: there is no second pass, unless --like has one.
struct HiresFlags {
  std::optional<double> scale;              ///< of the larger size; none, and no `size`: 2
  std::optional<std::pair<int, int>> size;  ///< width, height of the result
  std::optional<std::int64_t> steps;
  std::optional<double> strength;
  std::string upscaler;  ///< a name of kHiresUpscalers, or the id of a model; empty: Latent

  bool operator==(const HiresFlags&) const = default;
};

struct DrawOptions {
  GenerationRequest request;
  HiresFlags hires;
  std::string image;  ///< image file to start from; empty: none
  std::string mask;   ///< image file that marks the area of `image` to redraw; empty: none
  bool seed_given = false;
  std::string output;       ///< PNG file; further images get a number before the extension
  std::string like;         ///< file whose image is made again; empty: none. `request` has what the flags say
  std::string like_record;  ///< of that file: how its image was made
  std::string timings;      ///< JSON file for the seconds that each stage took; empty: none
};

struct PullFlags {
  std::string name;           ///< of a model or a file; also what `easel rm` removes
  std::string sha256;         ///< expected checksum of a single file; empty: not checked
  bool is_lora = false;       ///< the file goes to --lora-dir
  bool is_embedding = false;  ///< the file goes to --embeddings-dir
  double retry_pause = 1;     ///< seconds before the second attempt
  bool dry_run = false;       ///< say what would be fetched
  int slow_seconds = 15;      ///< time below 1 KB/s after which a transfer has failed
};

struct Options {
  Command command = Command::kServe;
  ModelFlags model;
  ServerOptions server;
  EngineOptions engine;
  bool memory_budget_given = false;  ///< otherwise that of a GPU is estimated
  bool allow_any_key = false;
  bool no_metadata = false;      ///< files do not say how their image was made
  bool no_ai_mark = false;       ///< files do not say that a machine made their image
  double request_timeout_s = 0;  ///< 0: none
  double queue_timeout_s = 600;  ///< longest wait behind other accounts' work; 0: no limit
  double stall_s = 600;          ///< time after which a loop that does not turn is stalled; 0: never
  bool exit_on_stall = false;
  double keep_alive_s = 0;           ///< time after which an idle model leaves memory; 0: never
  std::vector<std::string> aliases;  ///< NAME=MODEL
  std::int64_t image_store_seconds = 3600;
  double early_headers_after_s = 240;
  double drain_timeout_s = 90;  ///< time that requests have to finish after SIGTERM; 0: no limit
  DrawOptions draw;
  PullFlags pull;
  bool list_available = false;  ///< `easel models` lists the recipes
  std::string convert_path;     ///< checkpoint folder or .ckpt file
  std::string log_level = "info";
  std::string log_format = "text";
};

/// @return none when the program has printed what was asked for (e.g. --help) or what is wrong with the flags; it
/// should
///         then end with `exit_code`
std::optional<Options> parse_options(int argc, char** argv, int& exit_code);

}  // namespace easel
