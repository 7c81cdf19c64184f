#include "app/command_line/command_options.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <tuple>
#include <utility>

#include "app/command_line/help.h"
#include "app/command_line/like.h"
#include "core/text.h"

namespace easel {
namespace {

std::pair<int, int> read_size(const std::string& text, const std::string& flag = "--size") {
  const auto size = parse_size(text);
  if (!size) throw CLI::ValidationError(flag + " is `" + text + "`; expected WIDTHxHEIGHT, e.g. 512x512");
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

GuidanceInterval parse_interval(const std::string& text) {
  GuidanceInterval interval;
  const auto comma = std::min(text.find(','), text.size());
  const auto* const middle = text.data() + comma;
  const auto* const last = text.data() + text.size();
  const auto start = std::from_chars(text.data(), middle, interval.start);
  const auto end = std::from_chars(std::min(middle + 1, last), last, interval.end);
  const bool read = start.ec == std::errc() && start.ptr == middle && end.ec == std::errc() && end.ptr == last;
  if (!read || !interval.is_valid()) {
    throw CLI::ValidationError("--guidance-interval is `" + text +
                               "`; expected START,END, two numbers from 0 to 1, the first below the second");
  }
  return interval;
}

/// CLI11 takes a number that is too large for the largest one.
std::string check_seed(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  const bool good = error == std::errc() && end == text.data() + text.size();
  return good ? "" : "expected 0 to 18446744073709551615";
}

template <class T>
CLI::Option* add_own(CLI::App& command, const std::string& flags, const char* value, T& target,
                     const std::string& text) {
  return command.add_option(flags, target, text)->type_name(value);
}

void add_hires(CLI::App& draw, HiresFlags& o) {
  auto* scale = add_own(draw, "--hires-scale", "X", o.scale,
                        "make the image this many times as large in a second pass, 1 to 8; any --hires flag asks for "
                        "one, and its scale is 2 by default")
                    ->check(CLI::Range(1.0, 8.0));
  draw.add_option_function<std::string>(
          "--hires-size", [&o](const std::string& text) { o.size = read_size(text, "--hires-size"); },
          "size of the second pass instead of --hires-scale")
      ->type_name("WIDTHxHEIGHT")
      ->excludes(scale);
  add_own(draw, "--hires-steps", "N", o.steps, "inference steps of the second pass; by default --steps")
      ->check(CLI::Range(1, 1000));
  add_own(draw, "--hires-strength", "X", o.strength,
          "how far the second pass may depart from the first, 0 to 1; by default 0.75")
      ->check(CLI::Range(0.0, 1.0));
  add_own(draw, "--hires-upscaler", "NAME", o.upscaler,
          "what enlarges the image before the second pass: Latent (the default), Lanczos, Nearest, another name that "
          "the guide lists, or a model that upscales");
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
  add_own(*draw, "--seed", "N", r.seed, "the same seed gives the same image; by default random")->check(&check_seed);
  add_own(*draw, "--negative-prompt", "TEXT", r.negative_prompt, "what the image should not show");
  add_own(*draw, "--steps", "N", r.num_inference_steps, "inference steps")->check(CLI::Range(1, 1000));
  add_own(*draw, "--scheduler", "NAME", r.scheduler, "sampling algorithm; `easel models` lists them");
  add_own(*draw, "--guidance-scale", "X", r.guidance_scale,
          "how closely to follow the prompt; 1 or less turns guidance off");
  draw->add_option_function<std::string>(
          "--guidance-interval", [&r](const std::string& text) { r.guidance_interval = parse_interval(text); },
          "apply guidance to this part of the steps only, e.g. 0.2,0.8; the others take about half the time")
      ->type_name("START,END");
  add_own(*draw, "--guidance-rescale", "X", r.guidance_rescale,
          "reduces the excess contrast of a high guidance scale, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  add_own(*draw, "--image", "FILE", o.image, "image file to start from; also sets the size of the image");
  add_own(*draw, "--mask", "FILE", o.mask,
          "area of --image to redraw; a file that is transparent, or else white, in that area");
  add_own(*draw, "--strength", "X", r.strength, "how far the result may depart from --image, 0 to 1");
  add_own(*draw, "--padding-mask-crop", "PIXELS", r.padding_mask_crop,
          "draw only the part under --mask, with this many pixels around it, and put it back into --image; --size is "
          "then that of the part")
      ->check(CLI::Range(0, 16384));
  draw->add_flag("--keep-unmasked", r.keep_unmasked, "copy the pixels that --mask keeps from --image");
  add_own(*draw, "--image-guidance-scale", "X", r.image_guidance_scale,
          "InstructPix2Pix: how closely to follow --image; below 1 turns guidance off");
  add_own(*draw, "--true-cfg-scale", "X", r.true_cfg_scale,
          "models such as FLUX.1: how far to depart from the negative prompt; up to 1 it is not used");
  add_own(*draw, "--noise-level", "N", r.noise_level,
          "four times upscaler: how much noise to add to --image, up to the model's limit");
  add_own(*draw, "--denoising-end", "X", r.denoising_end,
          "share of the noise that the base model removes before the refiner takes over");
  add_own(*draw, "--eta", "X", r.eta, "DDIM and TCD: amount of noise that each step adds, 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  add_hires(*draw, o.hires);
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

void add_pull(CLI::App& app, PullFlags& o) {
  auto* pull = app.add_subcommand("pull", "Download a model from a hub");
  add_own(*pull, "name", "NAME", o.name,
          "name of a recipe, ORG/NAME[/FOLDER][@REVISION][:FILE], or the https address of a file")
      ->required();
  auto* lora = pull->add_flag("--lora", o.is_lora, "the file is a LoRA; store it in --lora-dir");
  pull->add_flag("--embedding", o.is_embedding, "the file is a textual inversion; store it in --embeddings-dir")
      ->excludes(lora);
  add_own(*pull, "--sha256", "HEX", o.sha256, "SHA-256 that a single file must have")
      ->check([](const std::string& text) {
        const bool good = text.size() == 64 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
        return good ? "" : "expected 64 hexadecimal digits";
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
  add_own(*remove, "name", "NAME", o.name, "name of the model's folder or file, or what it was pulled as")->required();
  auto* removed_lora = remove->add_flag("--lora", o.is_lora, "it is a LoRA, in --lora-dir");
  remove->add_flag("--embedding", o.is_embedding, "it is a textual inversion, in --embeddings-dir")
      ->excludes(removed_lora);
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

}  // namespace

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
  auto* convert = app.add_subcommand("convert", "Convert pickled weights, or make 8-bit copies");
  add_own(*convert, "path", "PATH", options.convert_path,
          "checkpoint folder, .ckpt file, or with --quantize a .safetensors file")
      ->required();
  app.add_subcommand("health", "Ask whether the server at --host and --port is ready");
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

void finish_commands(const CLI::App& app, const ParsedTexts& texts, Options& options) {
  options.command = chosen_command(app);
  auto& draw = options.draw;
  if (!texts.size.empty()) std::tie(draw.request.width, draw.request.height) = read_size(texts.size);
  for (const auto& text : texts.estimated_sizes) options.model.estimated_sizes.push_back(read_size(text));
  draw.seed_given = app.get_subcommand("draw")->count("--seed") > 0 || !draw.like.empty();
  if (!texts.prompt_words.empty()) draw.request.prompt = join(texts.prompt_words, " ");
  const bool needs_prompt = options.command == Command::kDraw && draw.like.empty();
  if (needs_prompt && texts.prompt_words.empty()) throw CLI::RequiredError("prompt");
}

}  // namespace easel
