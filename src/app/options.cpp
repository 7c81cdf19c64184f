#include "app/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <tuple>

#include "checkpoints/checkpoint.h"
#include "core/text.h"
#include "easel/error.h"

#ifndef EASEL_VERSION
#error "EASEL_VERSION comes from the build"
#endif

namespace easel {
namespace {

constexpr const char* kModelGroup = "Models";
constexpr const char* kServerGroup = "Server";
constexpr const char* kLimitGroup = "Limits";

const std::map<std::string, PromptSyntax> kPromptSyntaxes = {{"plain", PromptSyntax::kPlain},
                                                             {"a1111", PromptSyntax::kA1111}};

/// "--max-edge" -> "EASEL_MAX_EDGE"
std::string environment_name(const std::string& flag) {
  std::string name = "EASEL_";
  for (const char c : flag.substr(2)) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

/// Rounded up, so that a limit above 0 stays one.
std::chrono::milliseconds to_milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
}

template <class T>
CLI::Option* add(CLI::App& app, const char* group, const std::string& flag, T& target, const std::string& text) {
  auto* option = app.add_option(flag, target, text)->group(group)->envname(environment_name(flag));
  if constexpr (!std::is_same_v<T, std::vector<std::string>>) option->capture_default_str();
  return option;
}

void add_model_options(CLI::App& app, ModelOptions& o) {
  add(app, kModelGroup, "--model", o.models, "checkpoint folder or .safetensors file, or alias=path; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, kModelGroup, "--models-dir", o.models_dir,
      "serve every checkpoint in here under its folder's or file's name");
  add(app, kModelGroup, "--vae", o.vaes,
      "autoencoder to use instead of the models' own: folder or .safetensors file, or model=path; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, kModelGroup, "--default-model", o.default_model, "the model of requests that name none");
  add(app, kModelGroup, "--pin", o.pinned, "load this model at the start and keep it; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, kModelGroup, "--device", o.devices,
      "auto, cpu, cuda or cuda:N; several cards, e.g. cuda:0,cuda:1, draw side by side; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, kModelGroup, "--dtype", o.dtype, "auto (float32 on a CPU, float16 on a GPU), float32, float16 or bfloat16");
  add(app, kModelGroup, "--threads", o.threads, "CPU threads; 0: one a core")->check(CLI::Range(0, 1024));
  add(app, kModelGroup, "--max-batch", o.max_generations_per_step,
      "images that share a step; 0: 1 on a CPU, 8 on a GPU")
      ->check(CLI::Range(0, 256));
  add(app, kModelGroup, "--vae-tiling", o.vae_tiling,
      "decode large images in blended tiles: auto (where memory asks for it), on or off")
      ->check(CLI::IsMember({"auto", "on", "off"}));
  add(app, kModelGroup, "--weights-dtype", o.weights_dtype,
      "large weights in a CPU's memory: compute (as --dtype says), or stored (as the file has them, converted when "
      "used)")
      ->check(CLI::IsMember({"compute", "stored"}));
  add(app, kModelGroup, "--offload", o.offload,
      "none, or components: text encoders, UNets and autoencoder take turns on the GPU and wait in the host's memory")
      ->check(CLI::IsMember({"none", "components"}));
  app.add_flag("--release-text-encoders", o.release_text_encoders,
               "let text encoders leave memory after each prompt; the next new one reads them again")
      ->group(kModelGroup)
      ->envname("EASEL_RELEASE_TEXT_ENCODERS");
  // Described by hand: CLI11 would list the values by their numbers.
  app.add_option(
         "--prompt-syntax", o.prompt_syntax,
         "plain, or a1111: (weights:1.2) in brackets, BREAK and prompts of any length; of requests that name none")
      ->group(kModelGroup)
      ->envname(environment_name("--prompt-syntax"))
      ->transform(CLI::CheckedTransformer(kPromptSyntaxes).description("{plain,a1111}"))
      ->default_str("plain");
  add(app, kModelGroup, "--embeddings-dir", o.embeddings_dir, "textual inversions; a file's name is a word in prompts");
  add(app, kModelGroup, "--lora-dir", o.lora_dir, "folder of LoRA files that requests may choose from");
  add(app, kModelGroup, "--lora-memory", o.lora_memory, "memory for LoRA files that a model keeps, e.g. 512MiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
}

void add_server_options(CLI::App& app, Options& o) {
  add(app, kServerGroup, "--host", o.server.host, "address to listen on");
  add(app, kServerGroup, "--port", o.server.port, "port to listen on; 0 takes a free one")->check(CLI::Range(0, 65535));
  add(app, kServerGroup, "--api-key", o.server.api_keys,
      "key that clients must send; may be repeated; none: any will do")
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, kServerGroup, "--api-keys-file", o.server.api_keys_file,
      "JSON file with hashed keys, their names and limits; read again when it changes");
  app.add_flag("--allow-any-key", o.allow_any_key, "listen beyond this machine without keys")
      ->group(kServerGroup)
      ->envname("EASEL_ALLOW_ANY_KEY");
  add(app, kServerGroup, "--allow-origin", o.server.allowed_origins,
      "web origin whose pages may call, e.g. https://chat.example; * for all; may be repeated")
      ->delimiter(',')
      ->allow_extra_args(false);
  add(app, kServerGroup, "--log-level", o.log_level, "debug, info, warning, error or off");
  add(app, kServerGroup, "--log-format", o.log_format, "text, or json: one object a line");

  const auto positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 40);
  add(app, kLimitGroup, "--max-images", o.server.max_images, "images a request (n)")->check(CLI::Range(1, 1000));
  add(app, kLimitGroup, "--max-edge", o.server.max_edge, "pixels, either edge")->check(CLI::Range(8, 65535));
  add(app, kLimitGroup, "--max-pixels", o.server.max_pixels, "width times height")->check(positive);
  add(app, kLimitGroup, "--max-steps", o.server.max_steps, "steps an image")->check(CLI::Range(1, 1000));
  add(app, kLimitGroup, "--max-waiting", o.server.max_waiting, "requests that may wait or be drawn at once")
      ->check(CLI::Range(1, 4096));
  const auto seconds = CLI::Range(0.0, 1e7);
  add(app, kLimitGroup, "--request-timeout", o.request_timeout_s, "seconds from a request to its answer; 0: no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--drain-timeout", o.drain_timeout_s,
      "seconds that what is being drawn has left after SIGTERM; 0: no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--max-waiting-seconds", o.engine.max_waiting_seconds,
      "estimated device seconds of the requests that may wait; 0: no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--max-step-seconds", o.engine.max_step_seconds,
      "a step takes no more company than lets it last this long; 0: no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--memory-budget", o.engine.memory_budget,
      "memory for models, e.g. 20GiB; beyond it the least recently used one leaves; 0: no limit")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  add(app, kLimitGroup, "--keep-alive", o.keep_alive_s, "seconds that an idle model stays in memory; 0: for good")
      ->check(seconds);
  add(app, kLimitGroup, "--max-active", o.engine.max_active_generations, "images in memory at once")
      ->check(CLI::Range(1, 4096));
  add(app, kLimitGroup, "--max-parked", o.engine.max_parked_generations,
      "further images in memory, so that a short request need not wait for a place")
      ->check(CLI::Range(0, 4096));
  add(app, kLimitGroup, "--max-body-bytes", o.server.max_body_bytes, "largest request body")->check(positive);
  add(app, kLimitGroup, "--max-image-bytes", o.server.max_image_bytes, "largest uploaded image file, e.g. 20MiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(positive);
  add(app, kLimitGroup, "--max-image-pixels", o.server.max_image_pixels, "width times height of an uploaded image")
      ->check(positive);
  add(app, kLimitGroup, "--max-prompt-chars", o.server.max_prompt_chars, "longest prompt")->check(positive);
}

std::pair<int, int> read_size(const std::string& text) {
  const auto size = parse_size(text);
  if (!size) throw CLI::ValidationError("--size is `" + text + "`; expected WIDTHxHEIGHT, e.g. 512x512");
  return *size;
}

/// "name" or "name:weight"; a name may hold colons itself.
AdapterSelection parse_lora(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return {.name = text, .weight = 1.0};
  AdapterSelection use{.name = text.substr(0, colon), .weight = 0};
  const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), use.weight);
  return error == std::errc() && end == text.data() + text.size() ? use : AdapterSelection{.name = text, .weight = 1.0};
}

CLI::App* add_draw(CLI::App& app, DrawOptions& o, std::vector<std::string>& words, std::string& size) {
  auto* draw = app.add_subcommand("draw", "Draw images into files, without a server");
  auto& r = o.request;
  draw->add_option("prompt", words, "what to draw")->required();
  draw->add_option("-o,--output", o.output, "PNG file to write")->required();
  draw->add_option("-n,--num-images", r.num_images, "how many; image i is drawn with seed + i")
      ->check(CLI::Range(1, 1000));
  draw->add_option("--size", size, "WIDTHxHEIGHT; the model's own by default");
  draw->add_option("--seed", r.seed, "the same seed gives the same image; drawn by chance by default")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{std::numeric_limits<std::int64_t>::max()}));
  draw->add_option("--negative-prompt", r.negative_prompt, "what to keep away from");
  draw->add_option("--steps", r.num_inference_steps, "inference steps")->check(CLI::Range(1, 1000));
  draw->add_option("--guidance-scale", r.guidance_scale,
                   "how closely to follow the prompt; 1 or less turns guidance off");
  draw->add_option("--guidance-rescale", r.guidance_rescale, "bring strong guidance back to natural contrast")
      ->check(CLI::Range(0.0, 1.0));
  draw->add_option("--image", o.image, "PNG, JPEG or WebP file to begin from instead of noise; its size is drawn");
  draw->add_option("--mask", o.mask, "image file that is transparent, or else white, where --image is to be redrawn");
  draw->add_option("--strength", r.strength, "how far to leave --image behind, 0 to 1");
  draw->add_option("--image-guidance-scale", r.image_guidance_scale,
                   "InstructPix2Pix: how closely to keep to --image; below 1 turns guidance off");
  draw->add_option("--noise-level", r.noise_level,
                   "four times upscaler: noise to put over --image, up to the model's limit");
  draw->add_option("--denoising-end", r.denoising_end, "share of the noise that the base removes before the refiner");
  draw->add_option("--scheduler", r.scheduler, "sampling algorithm; `easel models` lists them");
  draw->add_option("--eta", r.eta, "DDIM's eta")->check(CLI::Range(0.0, 1.0));
  draw->add_option("--clip-skip", r.clip_skip, "text encoder layers to leave out")->check(CLI::Range(0, 100));
  draw->add_option_function<std::vector<std::string>>(
          "--lora",
          [&r](const std::vector<std::string>& loras) {
            for (const auto& text : loras) r.loras.push_back(parse_lora(text));
          },
          "NAME or NAME:WEIGHT of a file in --lora-dir; may be repeated")
      ->allow_extra_args(false);
  draw->add_option("--timings", o.timings, "write the seconds of each stage into this JSON file");
  return draw;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv, int& exit_code) {
  Options options;
  options.server.version = EASEL_VERSION;
  CLI::App app("easel: an OpenAI-compatible image generation server on Stable Diffusion", "easel");
  app.set_version_flag("--version", std::string("easel ") + EASEL_VERSION);
  // CLI11's own envname for this one is not read by the version that Debian 12 has.
  const char* config_file = std::getenv("EASEL_CONFIG");
  app.set_config("--config", config_file != nullptr ? config_file : "",
                 "read flags from this file (TOML or INI, names without the dashes)",
                 /*config_required=*/config_file != nullptr);
  app.allow_config_extras(CLI::config_extras_mode::error);  // a misspelt limit must not be no limit
  app.fallthrough();
  app.require_subcommand(0, 1);
  add_model_options(app, options.model);
  add_server_options(app, options);

  std::vector<std::string> words;
  std::string size;
  app.add_subcommand("serve", "Serve the OpenAI Images API (what easel does when no command is given)");
  auto* draw = add_draw(app, options.draw, words, size);
  std::vector<std::string> estimated_sizes;
  auto* models = app.add_subcommand("models", "List the models that would be served, and what they need");
  models->add_option("--size", estimated_sizes, "WIDTHxHEIGHT: tell the memory for this size, too; may be repeated")
      ->allow_extra_args(false);
  auto* convert =
      app.add_subcommand("convert", "Write safetensors beside the old .bin or .ckpt weights of a checkpoint");
  convert->add_option("path", options.convert_path, "checkpoint folder, or .ckpt file")->required();
  for (auto* command : app.get_subcommands({})) {
    command->footer("Flags for models, server and limits: easel --help. They may stand before and behind the command.");
  }
  app.footer(
      "Every flag is also an environment variable: --models-dir is EASEL_MODELS_DIR. Lists are separated by commas.");

  try {
    app.parse(argc, argv);
    if (!size.empty()) std::tie(options.draw.request.width, options.draw.request.height) = read_size(size);
    for (const auto& text : estimated_sizes) options.model.estimated_sizes.push_back(read_size(text));
  } catch (const CLI::ParseError& e) {
    exit_code = app.exit(e);
    return std::nullopt;
  }
  options.command = *draw      ? Command::kDraw
                    : *models  ? Command::kModels
                    : *convert ? Command::kConvert
                               : Command::kServe;
  options.draw.seed_given = draw->count("--seed") > 0;
  options.draw.request.prompt = join(words, " ");
  options.engine.max_waiting = options.server.max_waiting;
  if (options.keep_alive_s > 0) options.engine.keep_alive = to_milliseconds(options.keep_alive_s);
  if (options.request_timeout_s > 0) options.server.request_timeout = to_milliseconds(options.request_timeout_s);
  return options;
}

}  // namespace easel
