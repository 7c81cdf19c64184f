// The manual page, in the man macros of roff.
#include <string>

#include "app/command_line/help.h"
#include "app/command_line/option_text.h"
#include "core/text.h"

namespace easel {
namespace {

/// Escapes what roff would interpret, and keeps hyphens from becoming typographic ones.
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
  }
  if (escaped.starts_with('.') || escaped.starts_with('\'')) escaped.insert(0, "\\&");
  return escaped;
}

std::string describe_option(const CLI::Option& option) {
  const auto value = value_name(option);
  std::string text = concat(".TP\n\\fB", roff(option_names(option)), "\\fR");
  if (!value.empty()) text += concat(" \\fI", roff(value), "\\fR");
  text += concat("\n", roff(option_description(option)), "\n");
  if (!option.get_envname().empty()) text += concat("Environment: ", option.get_envname(), ".\n");
  return text;
}

std::string describe_command(const CLI::App& command, const CommandNotes& notes) {
  auto text = concat(".SS ", command.get_name(), "\n", roff(command.get_description()), ".\n.PP\n\\fB",
                     roff(notes.usage), "\\fR\n");
  for (const auto* option : command.get_options()) {
    if (option->get_group() != kGeneralGroup) text += describe_option(*option);
  }
  return text;
}

}  // namespace

std::string manual_page(const CLI::App& program, const std::string& version) {
  auto text = concat(".TH EASEL 1 \"\" \"easel ", version, "\" \"User Commands\"\n.SH NAME\neasel \\- ",
                     "image generation server with an OpenAI\\-compatible API\n.SH SYNOPSIS\n");
  for (const auto& notes : all_command_notes()) text += concat(".B ", roff(notes.usage), "\n.br\n");
  text +=
      ".SH DESCRIPTION\neasel serves Stable Diffusion checkpoints over HTTP with OpenAI's Images API, and generates "
      "images from the command line. Checkpoints are folders in the layout of diffusers, or .safetensors files.\n.PP\n"
      "Options may come before or after the command. Those with an environment variable can also be set in the file "
      "that \\fB\\-\\-config\\fR names. Values of options that may be repeated can also be separated by commas.\n"
      ".SH COMMANDS\n";
  for (const auto* command : listed_commands(program))
    text += describe_command(*command, *find_command_notes(*command));
  text += ".SH OPTIONS\n";
  for (const char* group : find_command_notes(program)->groups) {
    text += concat(".SS ", roff(group), "\n");
    for (const auto* option : program.get_options()) {
      if (option->get_group() == group) text += describe_option(*option);
    }
  }
  text +=
      ".SH EXIT STATUS\n0 on success, 1 when a command fails, and another number for wrong options.\n.SH EXAMPLES\n";
  for (const auto& notes : all_command_notes()) {
    for (const auto& [command, purpose] : notes.examples) {
      text += concat(".TP\n.B ", roff(command), "\n", roff(purpose), "\n");
    }
  }
  return text;
}

}  // namespace easel
