#include "app/command_line/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <tuple>

#include "app/command_line/help.h"
#include "app/command_line/like.h"
#include "core/text.h"

#ifndef EASEL_VERSION
#error "EASEL_VERSION comes from the build"
#endif

namespace easel {
namespace {

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
CLI::Option* add(CLI::App& app, const char* group, const std::string& flag, const char* value, T& target,
                 const std::string& text) {
  auto* option = app.add_option(flag, target, text)->group(group)->type_name(value)->envname(environment_name(flag));
  if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    option->delimiter(',')->allow_extra_args(false);
  } else {
    option->capture_default_str();
  }
  return option;
}

void add_flag(CLI::App& app, const char* group, const std::string& flag, bool& target, const std::string& text) {
  app.add_flag(flag, target, text)->group(group)->envname(environment_name(flag));
}

void add_model_options(CLI::App& app, ModelFlags& o) {
  add(app, kModelGroup, "--model", "PATH", o.models,
      "checkpoint folder or .safetensors file, or a name as for `easel pull`; ALIAS=PATH gives it a name; may be "
      "repeated");
  add(app, kModelGroup, "--models-dir", "FOLDER", o.models_dir,
      "serve every checkpoint in this folder and its subfolders; their names are their paths in it");
  add(app, kModelGroup, "--default-model", "ID", o.default_model, "the model of requests that name none");
  add(app, kModelGroup, "--vae", "PATH", o.vaes,
      "autoencoder to use in place of the models' own: a folder or a .safetensors file, or MODEL=PATH; may be "
      "repeated");
  add(app, kModelGroup, "--variant", "NAME", o.variants,
      "variant of the weights in checkpoint folders, such as bf16 or non_ema, or MODEL=NAME; may be repeated");
  add(app, kModelGroup, "--ignore-tensors", "PATTERN", o.ignored_tensors,
      "leave out tensors of this name that a model does not use, which are errors otherwise; * stands for any text; "
      "may "
      "be repeated");
  add(app, kModelGroup, "--pin", "ID", o.pinned, "load this model at the start and keep it in memory; may be repeated");
  add(app, kModelGroup, "--device", "NAME", o.devices,
      "auto, cpu, cuda or cuda:N; of several GPUs (cuda:0,cuda:1) each runs its own requests; may be repeated");
  add(app, kModelGroup, "--dtype", "auto|float32|float16|bfloat16", o.dtype,
      "precision; auto is float16 on a GPU, and on a CPU float32, or bfloat16 where the CPU has instructions for it "
      "and "
      "the weights lose nothing by it");
  add(app, kModelGroup, "--threads", "N", o.threads, "CPU threads; 0 means one per core")->check(CLI::Range(0, 1024));
  add(app, kModelGroup, "--max-batch", "N", o.max_generations_per_step,
      "images that may share a step; 0 means 1 on a CPU and 8 on a GPU")
      ->check(CLI::Range(0, 256));
  add(app, kModelGroup, "--vae-tiling", "auto|on|off", o.vae_tiling,
      "decode large images in overlapping tiles; auto does so where memory requires it")
      ->check(CLI::IsMember({"auto", "on", "off"}));
  add(app, kModelGroup, "--weights-dtype", "compute|stored", o.weights_dtype,
      "how a CPU keeps large weights: in the dtype of the computation, or as stored in the file and converted when "
      "used, "
      "which takes less memory")
      ->check(CLI::IsMember({"compute", "stored"}));
  add(app, kModelGroup, "--offload", "none|components", o.offload,
      "components: text encoders, UNet and autoencoder take turns on the GPU and wait in the host's memory")
      ->check(CLI::IsMember({"none", "components"}));
  add(app, kModelGroup, "--tf32", "on|off", o.tf32,
      "whether a GPU may multiply float32 numbers with 10 bits of mantissa in convolutions, as diffusers does; off is "
      "exact and slower")
      ->check(CLI::IsMember({"on", "off"}));
  add_flag(app, kModelGroup, "--release-text-encoders", o.release_text_encoders,
           "free the text encoders after each prompt; the next new prompt loads them again");
  // Described by hand: CLI11 would list the values by their numbers.
  app.add_option("--prompt-syntax", o.prompt_syntax,
                 "syntax of prompts whose request names none; a1111 means (weights:1.2), BREAK and any length")
      ->group(kModelGroup)
      ->type_name("plain|a1111")
      ->envname(environment_name("--prompt-syntax"))
      ->transform(CLI::CheckedTransformer(kPromptSyntaxes).description("{plain,a1111}"))
      ->default_str("plain");
  add(app, kModelGroup, "--embeddings-dir", "FOLDER", o.embeddings_dir,
      "folder of textual inversions; the name of a file is its word in prompts");
  add(app, kModelGroup, "--lora-dir", "FOLDER", o.lora_dir, "folder of LoRA files that requests may choose from");
  add(app, kModelGroup, "--lora-memory", "SIZE", o.lora_memory,
      "memory for the LoRA files that a model keeps, e.g. 512MiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
}

void add_server_options(CLI::App& app, Options& o) {
  add(app, kServerGroup, "--host", "ADDRESS", o.server.host, "address to listen on");
  add(app, kServerGroup, "--port", "N", o.server.port, "port to listen on; 0 takes a free one")
      ->check(CLI::Range(0, 65535));
  add(app, kServerGroup, "--api-key", "KEY", o.server.api_keys,
      "key that clients must send; may be repeated; without keys, clients may send any key or none; other users of the "
      "machine can see options, so prefer EASEL_API_KEY or --api-keys-file")
      ->delimiter('\0');  // a comma is refused as part of a key
  add(app, kServerGroup, "--api-keys-file", "FILE", o.server.api_keys_file,
      "JSON file with hashed keys, their names and limits; read again when it changes");
  add_flag(app, kServerGroup, "--allow-any-key", o.allow_any_key,
           "listen on addresses that other machines can reach although there are no keys");
  add(app, kServerGroup, "--allow-origin", "ORIGIN", o.server.allowed_origins,
      "web origin whose pages may call the API; e.g. https://chat.example, or * for all; may be repeated");
  add(app, kServerGroup, "--allow-host", "NAME", o.server.allowed_hosts,
      "name by which clients may call a server without keys, in addition to addresses and local names; may be "
      "repeated");
  add(app, kServerGroup, "--trusted-proxies", "CIDR", o.server.trusted_proxies,
      "addresses of reverse proxies, e.g. 10.0.0.0/8, whose X-Forwarded-For, -Proto and -Host headers count; may be "
      "repeated");
  add_flag(app, kServerGroup, "--local-operator", o.server.local_operator,
           "without keys, let clients on this machine load and unload models and set priorities");
  add(app, kServerGroup, "--log-level", "debug|info|warning|error|off", o.log_level, "least severe messages to log");
  add(app, kServerGroup, "--log-format", "text|json", o.log_format, "json writes one object per line");
}

/// What clients of other servers need.
void add_client_options(CLI::App& app, Options& o) {
  add(app, kServerGroup, "--alias", "NAME=MODEL", o.aliases,
      "further name of a served model, which requests may use; may be repeated");
  add_flag(app, kServerGroup, "--list-aliases", o.server.list_aliases, "list the aliases among the models");
  add(app, kServerGroup, "--public-url", "URL", o.server.public_url,
      "where links to images begin, e.g. https://images.example; by default as the client reached the server");
  add_flag(app, kServerGroup, "--no-metadata", o.no_metadata, "write no prompt and no settings into the image files");
  add_flag(app, kServerGroup, "--no-ai-mark", o.no_ai_mark, "do not mark the image files as made by a machine");
  add_flag(app, kServerGroup, "--strict", o.server.strict,
           "reject fields that the image would be made without, instead of listing them in `ignored`");
  add_flag(app, kServerGroup, "--opaque-instead-of-transparent", o.server.opaque_instead_of_transparent,
           "draw an opaque image where a transparent background is asked for, instead of rejecting the request");
  add(app, kServerGroup, "--early-headers-after", "SECONDS", o.early_headers_after_s,
      "time after which a response begins before its images are finished, for clients that give up without it; 0 means "
      "never")
      ->check(CLI::Range(0.0, 1e7));
  add(app, kLimitGroup, "--image-store-bytes", "SIZE", o.server.image_store_bytes,
      "memory for images that responses link to, e.g. 256MiB; the oldest are dropped first")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  add(app, kLimitGroup, "--image-store-seconds", "SECONDS", o.image_store_seconds, "how long links to images are valid")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30));
}

/// "name=model"; the model's id may hold equals signs itself.
std::pair<std::string, std::string> read_alias(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    throw CLI::ValidationError("--alias is `" + text + "`; expected NAME=MODEL");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void check_public_url(const std::string& url) {
  if (url.empty() || url.starts_with("http://") || url.starts_with("https://")) return;
  throw CLI::ValidationError("--public-url is `" + url + "`; expected a URL that begins with http:// or https://");
}

void add_limit_options(CLI::App& app, Options& o) {
  const auto positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 40);
  add(app, kLimitGroup, "--max-images", "N", o.server.max_images, "most images in one request (n)")
      ->check(CLI::Range(1, 1000));
  add(app, kLimitGroup, "--max-edge", "PIXELS", o.server.max_edge, "greatest width or height of an image")
      ->check(CLI::Range(8, 65535));
  add(app, kLimitGroup, "--max-pixels", "PIXELS", o.server.max_pixels, "greatest width times height of an image")
      ->check(positive);
  add(app, kLimitGroup, "--max-steps", "N", o.server.max_steps, "most steps per image")->check(CLI::Range(1, 1000));
  add(app, kLimitGroup, "--max-waiting", "N", o.engine.max_waiting,
      "most requests that wait or run at once; a third more for accounts with less than an equal part")
      ->check(CLI::Range(1, 4096));
  const auto seconds = CLI::Range(0.0, 1e7);
  add(app, kLimitGroup, "--request-timeout", "SECONDS", o.request_timeout_s,
      "time from a request to its response; 0 means no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--queue-timeout", "SECONDS", o.queue_timeout_s,
      "time that a request may wait behind other accounts' work before it begins; 0 means no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--stall-seconds", "SECONDS", o.stall_s,
      "time without progress of a device's work after which it is logged and /ready fails; 0 means no limit")
      ->check(seconds);
  add_flag(app, kLimitGroup, "--exit-on-stall", o.exit_on_stall,
           "end the program then, so that its supervisor starts it again");
  add(app, kLimitGroup, "--drain-timeout", "SECONDS", o.drain_timeout_s,
      "time that accepted requests have to finish after SIGTERM; 0 means no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--max-waiting-seconds", "SECONDS", o.engine.max_waiting_seconds,
      "estimated device time of all requests that wait or run; 0 means no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--max-step-seconds", "SECONDS", o.engine.max_step_seconds,
      "upper bound on a step's estimated duration; larger batches are trimmed to fit; 0 means no limit")
      ->check(seconds);
  add(app, kLimitGroup, "--memory-budget", "SIZE", o.engine.memory_budget,
      "memory for models, e.g. 20GiB; beyond it, the least recently used model is unloaded; 0 means no limit, and on a "
      "GPU, unless it is given, all of its memory but 1.5 GiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  add(app, kLimitGroup, "--keep-alive", "SECONDS", o.keep_alive_s,
      "time after which an idle model is unloaded; 0 means never")
      ->check(seconds);
  add(app, kLimitGroup, "--max-active", "N", o.engine.max_active_generations, "most images in progress at once")
      ->check(CLI::Range(1, 4096));
  add(app, kLimitGroup, "--max-parked", "N", o.engine.max_parked_generations,
      "most images that may be paused, so that a short request need not wait for a long one")
      ->check(CLI::Range(0, 4096));
  add(app, kLimitGroup, "--max-body-bytes", "N", o.server.max_body_bytes, "largest request body, without images")
      ->check(positive);
  add(app, kLimitGroup, "--max-image-bytes", "SIZE", o.server.max_image_bytes,
      "largest uploaded image file, e.g. 20MiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(positive);
  add(app, kLimitGroup, "--max-upload-bytes", "SIZE", o.server.max_upload_bytes,
      "largest sum of the uploaded files of one request, e.g. 128MiB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(positive);
  add(app, kLimitGroup, "--upload-memory", "SIZE", o.server.upload_memory,
      "memory for the bodies of all requests that are being received, e.g. 512MiB; others wait up to 30 seconds")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->check(positive);
  add(app, kLimitGroup, "--max-image-pixels", "PIXELS", o.server.max_image_pixels,
      "greatest width times height of an uploaded image")
      ->check(positive);
  add(app, kLimitGroup, "--max-prompt-chars", "N", o.server.max_prompt_chars, "longest prompt, in characters")
      ->check(positive);
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

template <class T>
CLI::Option* add_own(CLI::App& command, const std::string& flags, const char* value, T& target,
                     const std::string& text) {
  return command.add_option(flags, target, text)->type_name(value);
}

void add_draw(CLI::App& app, DrawOptions& o, std::vector<std::string>& words, std::string& size) {
  auto* draw = app.add_subcommand("draw", "Generate images into files, without a server");
  auto& r = o.request;
  // First, because options are read in this order and the others change what the file says.
  draw->add_option_function<std::string>(
          "--like",
          [&o](const std::string& path) {
            try {
              load_like(path, o);
            } catch (const Error& e) {
              throw CLI::ValidationError(std::string("--like: ") + e.what());
            }
          },
          "make the image of this file again: its record has the prompt and all settings, which other options change")
      ->type_name("FILE");
  add_own(*draw, "prompt", "TEXT", words, "what the image should show; required without --like");
  add_own(*draw, "-o,--output", "FILE", o.output, "PNG file to write")->required();
  add_own(*draw, "-n,--num-images", "N", r.num_images, "number of images; image i is generated with seed + i")
      ->check(CLI::Range(1, 1000));
  add_own(*draw, "--size", "WIDTHxHEIGHT", size, "size of the image; by default the model's own");
  add_own(*draw, "--seed", "N", r.seed, "the same seed gives the same image; by default random")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{std::numeric_limits<std::int64_t>::max()}));
  add_own(*draw, "--negative-prompt", "TEXT", r.negative_prompt, "what the image should not show");
  add_own(*draw, "--steps", "N", r.num_inference_steps, "inference steps")->check(CLI::Range(1, 1000));
  add_own(*draw, "--scheduler", "NAME", r.scheduler, "sampling algorithm; `easel models` lists them");
  add_own(*draw, "--guidance-scale", "X", r.guidance_scale,
          "how closely to follow the prompt; 1 or less turns guidance off");
  add_own(*draw, "--guidance-rescale", "X", r.guidance_rescale,
          "reduces the excess contrast of a high guidance scale, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  add_own(*draw, "--image", "FILE", o.image, "image file to start from; also sets the size of the image");
  add_own(*draw, "--mask", "FILE", o.mask,
          "area of --image to redraw; a file that is transparent, or else white, in that area");
  add_own(*draw, "--strength", "X", r.strength, "how far the result may depart from --image, 0 to 1");
  add_own(*draw, "--image-guidance-scale", "X", r.image_guidance_scale,
          "InstructPix2Pix: how closely to follow --image; below 1 turns guidance off");
  add_own(*draw, "--noise-level", "N", r.noise_level,
          "four times upscaler: how much noise to add to --image, up to the model's limit");
  add_own(*draw, "--denoising-end", "X", r.denoising_end,
          "share of the noise that the base model removes before the refiner takes over");
  add_own(*draw, "--eta", "X", r.eta, "DDIM and TCD: amount of noise that each step adds, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  add_own(*draw, "--clip-skip", "N", r.clip_skip, "last layers of the text encoder to skip")->check(CLI::Range(0, 100));
  draw->add_option_function<std::vector<std::string>>(
          "--lora",
          [&r](const std::vector<std::string>& loras) {
            for (const auto& text : loras) r.loras.push_back(parse_lora(text));
          },
          "file of --lora-dir, NAME or NAME:WEIGHT; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  add_own(*draw, "--timings", "FILE", o.timings, "JSON file for the seconds that each stage took");
}

/// What the parser reads and parse_options turns into Options.
struct ParsedTexts {
  std::vector<std::string> prompt_words;
  std::string size;
  std::vector<std::string> estimated_sizes;
  std::string shell;
};

void add_program_options(CLI::App& app) {
  app.set_help_flag("-h,--help", "print help")->group(kGeneralGroup);
  app.set_help_all_flag("--help-all", "print help with all options")->group(kGeneralGroup);
  app.set_version_flag("--version", std::string("easel ") + EASEL_VERSION, "print the version")->group(kGeneralGroup);
  // The CLI11 of Debian 12 does not read an environment variable for this option.
  const char* config_file = std::getenv("EASEL_CONFIG");
  app.set_config("--config", config_file != nullptr ? config_file : "",
                 "TOML or INI file with options; its keys are the names without the dashes",
                 /*config_required=*/config_file != nullptr)
      ->group(kGeneralGroup)
      ->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);  // a misspelt limit must not be ignored
}

void add_pull(CLI::App& app, PullFlags& o) {
  auto* pull = app.add_subcommand("pull", "Download a model from a hub");
  add_own(*pull, "name", "NAME", o.name,
          "name of a recipe, ORG/NAME[/FOLDER][@REVISION][:FILE], or the https address of a file")
      ->required();
  auto* lora = pull->add_flag("--lora", o.is_lora, "the file is a LoRA; store it in --lora-dir");
  pull->add_flag("--embedding", o.is_embedding, "the file is a textual inversion; store it in --embeddings-dir")
      ->excludes(lora);
  add_own(*pull, "--sha256", "HEX", o.sha256, "checksum that the file of an address must have")
      ->check([](const std::string& text) {
        const bool good = text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
        return good ? "" : "expected 64 hexadecimal digits in lower case";
      });
  pull->add_flag("--dry-run", o.dry_run,
                 "print the number of bytes and the files that would be fetched, and fetch none");
  add_own(*pull, "--retry-pause", "SECONDS", o.retry_pause, "pause before the second attempt; it grows for later ones")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  add_own(*pull, "--slow-seconds", "N", o.slow_seconds,
          "how long a transfer may be below 1 KB/s before it is tried again")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  auto* remove = app.add_subcommand("rm", "Remove a model that easel pulled");
  add_own(*remove, "name", "NAME", o.name, "name of the model's folder or file")->required();
}

void add_commands(CLI::App& app, Options& options, ParsedTexts& texts) {
  app.add_subcommand("serve", "Serve the API over HTTP (the default command)");
  add_draw(app, options.draw, texts.prompt_words, texts.size);
  auto* models = app.add_subcommand("models", "List the models that would be served");
  add_own(*models, "--size", "WIDTHxHEIGHT", texts.estimated_sizes,
          "also show the memory for images of this size; may be repeated")
      ->allow_extra_args(false);
  models->add_flag("--available", options.list_available, "list the models that `easel pull` knows by name");
  add_pull(app, options.pull);
  models->add_flag("--all", options.model.list_all,
                   "also list what is in the models folder and is not served, and why");
  auto* convert = app.add_subcommand("convert", "Convert pickled weights to safetensors files");
  add_own(*convert, "path", "PATH", options.convert_path, "checkpoint folder, or .ckpt file")->required();
  app.add_subcommand("health", "Ask the server at --host and --port whether it is ready");
  auto* completion = app.add_subcommand("completion", "Print the completion script of a shell");
  add_own(*completion, "shell", "bash|zsh", texts.shell, "shell to complete commands for")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  app.add_subcommand("manual", "Print the manual page")->group("");  // for packages; not listed
  for (auto* command : app.get_subcommands({})) {
    command->set_help_flag("-h,--help", "print help")->group(kGeneralGroup);
    command->set_help_all_flag("--help-all", "print help with all options")->group(kGeneralGroup);
  }
}

Command chosen_command(const CLI::App& app) {
  if (app.got_subcommand("draw")) return Command::kDraw;
  if (app.got_subcommand("models")) return Command::kModels;
  if (app.got_subcommand("convert")) return Command::kConvert;
  if (app.got_subcommand("pull")) return Command::kPull;
  if (app.got_subcommand("rm")) return Command::kRemove;
  if (app.got_subcommand("health")) return Command::kHealth;
  return Command::kServe;
}

/// CLI11 takes an empty variable for an unset one, and the server would then ask for no key.
void check_environment() {
  for (const char* name : {"EASEL_API_KEY", "EASEL_API_KEYS_FILE"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value == '\0') {
      throw CLI::ValidationError(name, "is set to an empty text; give it a value, or unset it to ask for no key");
    }
  }
}

/// Completes the options after parsing. @throws CLI::ValidationError  a size, an alias or a URL is malformed, or a
/// variable is empty
void finish_options(const CLI::App& app, const ParsedTexts& texts, Options& options) {
  options.command = chosen_command(app);
  if (options.command == Command::kServe) check_environment();
  auto& draw = options.draw;
  if (!texts.size.empty()) std::tie(draw.request.width, draw.request.height) = read_size(texts.size);
  for (const auto& text : texts.estimated_sizes) options.model.estimated_sizes.push_back(read_size(text));
  options.memory_budget_given = app.count("--memory-budget") > 0;
  draw.seed_given = app.get_subcommand("draw")->count("--seed") > 0 || !draw.like.empty();
  if (!texts.prompt_words.empty()) draw.request.prompt = join(texts.prompt_words, " ");
  const bool needs_prompt = options.command == Command::kDraw && draw.like.empty();
  if (needs_prompt && texts.prompt_words.empty()) throw CLI::RequiredError("prompt");
  for (const auto& text : options.aliases) options.server.aliases.push_back(read_alias(text));
  check_public_url(options.server.public_url);
  options.server.early_headers_after = to_milliseconds(options.early_headers_after_s);
  options.server.image_store_seconds = std::chrono::seconds(options.image_store_seconds);
  options.server.max_waiting = all_places(options.engine.max_waiting);
  if (options.keep_alive_s > 0) options.engine.keep_alive = to_milliseconds(options.keep_alive_s);
  if (options.request_timeout_s > 0) options.server.request_timeout = to_milliseconds(options.request_timeout_s);
  if (options.stall_s > 0) options.engine.stall_after = to_milliseconds(options.stall_s);
  if (options.queue_timeout_s > 0) options.server.queue_timeout = to_milliseconds(options.queue_timeout_s);
}

/// Prints what the commands `completion` and `manual` are for. @return whether one of them was given
bool print_generated_text(const CLI::App& app, const ParsedTexts& texts) {
  if (app.got_subcommand("completion")) {
    std::fputs((texts.shell == "bash" ? bash_completion(app) : zsh_completion(app)).c_str(), stdout);
    return true;
  }
  if (app.got_subcommand("manual")) {
    std::fputs(manual_page(app, EASEL_VERSION).c_str(), stdout);
    return true;
  }
  return false;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv, int& exit_code) {
  Options options;
  options.server.version = EASEL_VERSION;
  ParsedTexts texts;
  CLI::App app("easel: an image generation server with an OpenAI-compatible API", "easel");
  app.formatter_fn([](const CLI::App* command, std::string, CLI::AppFormatMode mode) {
    return help_text(*command, mode == CLI::AppFormatMode::All);
  });
  app.fallthrough();
  app.require_subcommand(0, 1);
  add_program_options(app);
  add_model_options(app, options.model);
  add_server_options(app, options);
  add_limit_options(app, options);
  add_client_options(app, options);
  add_commands(app, options, texts);
  try {
    app.parse(argc, argv);
    finish_options(app, texts, options);
  } catch (const CLI::ParseError& e) {
    exit_code = app.exit(e);
    return std::nullopt;
  }
  if (print_generated_text(app, texts)) {
    exit_code = 0;
    return std::nullopt;
  }
  return options;
}

}  // namespace easel
