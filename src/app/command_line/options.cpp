#include "app/command_line/options.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "app/command_line/command_options.h"
#include "app/command_line/help.h"

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
      "checkpoint folder or file, or name for `easel pull`; ALIAS=PATH gives it a name; may be repeated");
  add(app, kModelGroup, "--models-dir", "FOLDER", o.models_dir,
      "serve all checkpoints in this folder and below it; their names are their paths in it");
  add(app, kModelGroup, "--default-model", "ID", o.default_model, "the model of requests that name none");
  add(app, kModelGroup, "--vae", "PATH", o.vaes,
      "autoencoder to use in place of the models' own: a folder or a .safetensors file, or MODEL=PATH; may be "
      "repeated");
  add(app, kModelGroup, "--preview-vae", "PATH", o.preview_vaes,
      "tiny autoencoder (TAESD and its relatives) that decodes partial images and previews: a folder or a .safetensors "
      "file, or MODEL=PATH; may be repeated");
  add(app, kModelGroup, "--variant", "NAME", o.variants,
      "variant of the weights in checkpoint folders, such as bf16 or non_ema, or MODEL=NAME; may be repeated");
  add(app, kModelGroup, "--component", "MODEL.ROLE=PATH", o.components,
      "file or folder of one component of a model; ROLE is vae, clip_l, clip_g, t5, qwen, transformer, configs, or a "
      "name of model_index.json; may be repeated");
  add(app, kModelGroup, "--quantize", "fp8|q8_0", o.quantize,
      "make the weights of denoisers and text encoders smaller when they are loaded: 8-bit floating point or 8-bit "
      "integers, with scales")
      ->check(CLI::IsMember({"fp8", "q8_0"}));
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
  add(app, kModelGroup, "--offload", "none|components|blocks", o.offload,
      "components: text encoders, denoiser and autoencoder take turns on the GPU and wait in the host's memory; "
      "blocks: "
      "a transformer that does not fit is also streamed through the GPU, one block after the other")
      ->check(CLI::IsMember({"none", "components", "blocks"}));
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

/// CLI11 takes an empty variable for an unset one, and the server would then ask for no key.
void check_environment() {
  for (const char* name : {"EASEL_API_KEY", "EASEL_API_KEYS_FILE"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value == '\0') {
      throw CLI::ValidationError(name, "is set to an empty text; give it a value, or unset it to ask for no key");
    }
  }
}

/// Completes the options after parsing. @throws CLI::ValidationError  an alias or a URL is malformed, or a variable is
/// empty; as finish_commands
void finish_options(const CLI::App& app, const ParsedTexts& texts, Options& options) {
  finish_commands(app, texts, options);
  if (options.command == Command::kServe) check_environment();
  options.memory_budget_given = app.count("--memory-budget") > 0;
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
  app.formatter_fn([](const CLI::App* command, const std::string&, CLI::AppFormatMode mode) {
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
