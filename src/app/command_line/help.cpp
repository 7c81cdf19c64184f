// The texts of --help and --help-all.
#include "app/command_line/help.h"

#include <sstream>
#include <string>

#include "app/command_line/option_text.h"
#include "core/text.h"

namespace easel {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kTextColumn = 27;
constexpr const char* kProgramFooter = R"(
`easel COMMAND --help` describes a command, `--help-all` all options. Options
may stand before or after the command. They are also environment variables,
e.g. EASEL_MODELS_DIR for --models-dir, and keys of the file given by --config.
)";

/// Two columns: `left`, and `text` wrapped to its right; the text starts on a line of its own when `left` is too long.
std::string two_columns(const std::string& left, const std::string& text) {
  std::string result = "  " + left;
  std::size_t column = result.size();
  if (column + 2 > kTextColumn) {
    result += '\n';
    column = 0;
  }
  result.append(kTextColumn - column, ' ');
  column = kTextColumn;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > kTextColumn && column + 1 + word.size() > kColumns) {
      result += '\n' + std::string(kTextColumn, ' ');
      column = kTextColumn;
    } else if (column > kTextColumn) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result + '\n';
}

std::string describe(const CLI::Option& option, bool brief) {
  const auto value = value_name(option);
  return two_columns(option_names(option) + (value.empty() ? "" : " " + value), option_description(option, brief));
}

std::string describe_group(const CLI::App& program, const std::string& group) {
  std::string text = concat("\n", group, ":\n");
  for (const auto* option : program.get_options()) {
    if (option->get_group() == group) text += describe(*option, /*brief=*/false);
  }
  return text;
}

/// The options of the command itself, without --help.
std::string describe_own(const CLI::App& command) {
  std::string text;
  for (const auto* option : command.get_options()) {
    if (option->get_group() != kGeneralGroup) text += describe(*option, /*brief=*/false);
  }
  return text.empty() ? "" : concat("\nOptions of ", command.get_name(), ":\n", text);
}

std::string describe_usual(const CLI::App& app, const CLI::App& program, const CommandNotes& notes) {
  std::string text = "\nOptions:\n";
  for (const char* name : notes.usual) {
    const auto* option = app.get_option_no_throw(name);
    text += describe(option != nullptr ? *option : *program.get_option(name), /*brief=*/true);
  }
  return text;
}

}  // namespace

std::string help_text(const CLI::App& app, bool all) {
  const auto& program = app.get_parent() == nullptr ? app : *app.get_parent();
  const bool is_program = &app == &program;
  std::string text = app.get_description() + "\n";
  const auto* notes = find_command_notes(app);
  if (notes == nullptr) return text;
  text += concat("\nUsage: ", notes->usage, "\n");
  if (is_program) {
    text += "\nCommands:\n";
    for (const auto* command : listed_commands(program)) {
      text += two_columns(command->get_name(), command->get_description());
    }
  }
  if (all) {
    if (!is_program) text += describe_own(app);
    for (const char* group : notes->groups) text += describe_group(program, group);
  } else {
    text += describe_usual(app, program, *notes);
  }
  text += "\nExamples:\n";
  for (const auto& [command, purpose] : notes->examples) text += concat("  ", command, "\n      ", purpose, "\n");
  text += is_program
              ? kProgramFooter
              : concat("\n`easel ", app.get_name(), " --help-all` lists every option; `easel --help`, the commands.\n");
  return text;
}

}  // namespace easel
