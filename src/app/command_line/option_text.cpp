#include "app/command_line/option_text.h"

#include <algorithm>
#include <sstream>

#include "app/command_line/help.h"
#include "core/text.h"

namespace easel {
namespace {

std::string with_default(const std::string& text, const CLI::Option& option) {
  const auto value = option.get_default_str();
  return value.empty() || value == "\"\"" ? text : concat(text, " [", value, "]");
}

}  // namespace

const std::vector<CommandNotes>& all_command_notes() {
  static const std::vector<CommandNotes> notes = {
      {.name = "",
       .usage = "easel [COMMAND] [OPTIONS]",
       .usual = {"--model", "--models-dir", "--device", "--dtype", "--threads", "--host", "--port", "--api-key",
                 "--log-level", "--config"},
       .groups = {kGeneralGroup, kModelGroup, kServerGroup, kLimitGroup},
       .examples = {{"easel --models-dir models", "serve every checkpoint in models/ on port 9225"},
                    {"easel draw \"a red fox\" -o fox.png --model models/emoji", "generate one image"}}},
      {.name = "serve",
       .usage = "easel serve [OPTIONS]",
       .usual = {"--model", "--models-dir", "--device", "--dtype", "--host", "--port", "--api-key", "--api-keys-file",
                 "--lora-dir", "--memory-budget", "--keep-alive", "--max-waiting", "--config"},
       .groups = {kModelGroup, kServerGroup, kLimitGroup, kGeneralGroup},
       .examples = {{"easel serve --model sd15=v1-5.safetensors --device cuda", "one file on a GPU"},
                    {"easel serve --models-dir models --host 0.0.0.0 --api-key KEY", "in a network"}}},
      {.name = "draw",
       .usage = "easel draw PROMPT... -o FILE [OPTIONS]",
       .usual = {"prompt", "--output", "--num-images", "--size", "--seed", "--negative-prompt", "--steps",
                 "--guidance-scale", "--image", "--mask", "--strength", "--lora", "--model"},
       .groups = {kModelGroup, kGeneralGroup},
       .examples = {{"easel draw \"a red fox\" -o fox.png --model models/emoji", "text to image"},
                    {"easel draw \"a cat\" -o cat.png --image fox.png --strength 0.6", "image to image"}}},
      {.name = "models",
       .usage = "easel models [OPTIONS]",
       .usual = {"--available", "--size", "--model", "--models-dir", "--device", "--dtype", "--lora-dir"},
       .groups = {kModelGroup, kGeneralGroup},
       .examples = {{"easel models --models-dir models --size 1024x1024", "memory for it"},
                    {"easel models --available", "list what can be pulled by name"}}},
      {.name = "pull",
       .usage = "easel pull NAME [OPTIONS]",
       .usual = {"name", "--models-dir", "--dtype", "--lora", "--embedding", "--lora-dir", "--embeddings-dir",
                 "--sha256"},
       .groups = {kModelGroup, kGeneralGroup},
       .examples = {{"easel pull sd15", "a model by the name of its recipe"},
                    {"easel pull stabilityai/sdxl-turbo --dtype float16", "half of its size"},
                    {"easel pull ORG/NAME:style.safetensors --lora --lora-dir loras", "one LoRA"}}},
      {.name = "rm",
       .usage = "easel rm NAME [OPTIONS]",
       .usual = {"name", "--models-dir", "--lora", "--embedding", "--lora-dir", "--embeddings-dir"},
       .groups = {kModelGroup, kGeneralGroup},
       .examples = {{"easel rm sdxl-turbo", "remove models/sdxl-turbo"},
                    {"easel rm ORG/NAME:style.safetensors --lora --lora-dir loras", "remove a LoRA"}}},
      {.name = "convert",
       .usage = "easel convert PATH [OPTIONS]",
       .usual = {"path", "--quantize"},
       .groups = {kGeneralGroup},
       .examples = {{"easel convert models/old.ckpt", "write models/old.safetensors"},
                    {"easel convert models/flux --quantize q8_0", "write 8-bit copies, for --variant q8_0"}}},
      {.name = "health",
       .usage = "easel health [options]",
       .usual = {"--host", "--port"},
       .groups = {kServerGroup, kGeneralGroup},
       .examples = {{"easel health --port 9225", "exit with 0 if the server is ready, else with 1"}}},
      {.name = "completion",
       .usage = "easel completion bash|zsh",
       .usual = {"shell"},
       .groups = {kGeneralGroup},
       .examples = {{"source <(easel completion bash)", "complete commands in this shell"},
                    {"easel completion zsh > ~/.zfunc/_easel", "install for zsh, with ~/.zfunc in fpath"}}}};
  return notes;
}

const CommandNotes* find_command_notes(const CLI::App& command) {
  const std::string name = command.get_parent() == nullptr ? "" : command.get_name();
  const auto& notes = all_command_notes();
  const auto found = std::find_if(notes.begin(), notes.end(), [&](const CommandNotes& n) { return n.name == name; });
  return found == notes.end() ? nullptr : &*found;
}

std::vector<const CLI::App*> listed_commands(const CLI::App& program) {
  return program.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

std::string option_names(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(/*positional=*/true);
  std::vector<std::string> names;
  for (const auto& name : option.get_snames()) names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) names.push_back("--" + name);
  return join(names);
}

std::string value_name(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0 || option.get_positional()) return "";
  const auto type = option.get_type_name();
  return type.substr(0, type.find(':'));  // CLI11 appends what validators accept
}

std::vector<std::string> value_choices(const CLI::Option& option) {
  const auto type = option.get_type_name();
  const auto names = type.substr(0, type.find(':'));
  std::vector<std::string> choices;
  if (names.find('|') == std::string::npos) return choices;
  std::istringstream list(names);
  for (std::string choice; std::getline(list, choice, '|');) choices.push_back(choice);
  return choices;
}

std::string option_description(const CLI::Option& option) {
  return with_default(option.get_description(), option);
}

std::string brief_description(const CLI::Option& option) {
  const auto description = option.get_description();
  const auto choices = value_choices(option);
  return with_default(concat(description.substr(0, description.find(';')), choices.empty() ? "" : ": ", join(choices)),
                      option);
}

}  // namespace easel
