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
constexpr std::size_t kCommonOptionsColumn = std::char_traits<char>::length("Common options: ");
constexpr const char* kProgramFooter = R"(
`easel COMMAND --help` describes a command, `--help-all` all options. Options
may stand before or after the command. They are also environment variables,
e.g. EASEL_MODELS_DIR for --models-dir, and keys of the file given by --config.
)";

/// The words of `text` in lines that begin at column `indent`; the first line is there up to this column.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::string result;
  std::size_t column = indent;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > indent && column + 1 + word.size() > kColumns) {
      result += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result + '\n';
}

/// Two columns: `left`, and `text` wrapped to its right; the text starts on a line of its own when `left` is too long.
std::string two_columns(const std::string& left, const std::string& text) {
  std::string result = "  " + left;
  std::size_t column = result.size();
  if (column + 2 > kTextColumn) {
    result += '\n';
    column = 0;
  }
  result.append(kTextColumn - column, ' ');
  return result + wrapped(text, kTextColumn);
}

std::string describe(const CLI::Option& option) {
  const auto value = value_name(option);
  return two_columns(option_names(option) + (value.empty() ? "" : " " + value), option_description(option));
}

/// In one line where that is possible: the choices of a value stand in the text, and what follows a semicolon is left
/// out.
std::string describe_briefly(const CLI::Option& option) {
  const auto choices = value_choices(option);
  const auto value = choices.empty() ? value_name(option) : "";
  return two_columns(option_names(option) + (value.empty() ? "" : " " + value), brief_description(option));
}

std::string describe_examples(const CommandNotes& notes) {
  std::string text = "\nExamples:\n";
  for (const auto& [command, purpose] : notes.examples) {
    const auto line = concat("  ", command, "  # ", purpose);
    text += line.size() <= kColumns ? line + "\n" : concat("  ", command, "\n      # ", purpose, "\n");
  }
  return text;
}

std::string describe_group(const CLI::App& program, const std::string& group) {
  std::string text = concat("\n", group, ":\n");
  for (const auto* option : program.get_options()) {
    if (option->get_group() == group) text += describe(*option);
  }
  return text;
}

/// The options of the command itself, without --help.
std::string describe_own(const CLI::App& command) {
  std::string text;
  for (const auto* option : command.get_options()) {
    if (option->get_group() != kGeneralGroup) text += describe(*option);
  }
  return text.empty() ? "" : concat("\nOptions of ", command.get_name(), ":\n", text);
}

std::string describe_usual(const CLI::App& app, const CLI::App& program, const CommandNotes& notes) {
  std::string text = "\nOptions:\n";
  for (const char* name : notes.usual) {
    const auto* option = app.get_option_no_throw(name);
    text += describe_briefly(option != nullptr ? *option : *program.get_option(name));
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
  text += concat("\nUsage: ", notes->usage, "\n", describe_examples(*notes));
  if (is_program) {
    text += "\nCommands:\n";
    for (const auto* command : listed_commands(program)) {
      text += two_columns(command->get_name(), command->get_description());
    }
  }
  if (all) {
    if (!is_program) text += describe_own(app);
    for (const char* group : notes->groups) text += describe_group(program, group);
  } else if (is_program) {
    text +=
        concat("\nCommon options: ", wrapped(join({notes->usual.begin(), notes->usual.end()}), kCommonOptionsColumn));
  } else {
    text += describe_usual(app, program, *notes);
  }
  text += is_program
              ? kProgramFooter
              : concat("\n`easel ", app.get_name(), " --help-all` lists every option; `easel --help`, the commands.\n");
  return text;
}

}  // namespace easel
