// What help, manual and completion know about options and commands.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace easel {

/// A command line and what it does.
struct Example {
  const char* command;
  const char* purpose;
};

/// What the parser does not know about a command. `name` is empty for the program itself.
struct CommandNotes {
  const char* name;
  const char* usage;
  std::vector<const char*> usual;   ///< options of the command and of the program that its short help shows
  std::vector<const char*> groups;  ///< groups of the program's options that matter to it
  std::vector<Example> examples;
};

/// In the order in which the manual describes them, the program first.
const std::vector<CommandNotes>& all_command_notes();
/// @param command  the program or one of its commands. Never null for a listed command
const CommandNotes* find_command_notes(const CLI::App& command);

/// Listed commands of the program, i.e. without those in the empty group.
std::vector<const CLI::App*> listed_commands(const CLI::App& program);

/// "-o, --output"; the name itself for a positional argument.
std::string option_names(const CLI::Option& option);
/// The placeholder for the option's value, e.g. "FILE" or "auto|on|off"; empty for a flag without a value.
std::string value_name(const CLI::Option& option);
/// The fixed choices of the option's value; empty when there are none.
std::vector<std::string> value_choices(const CLI::Option& option);
/// Description and, where there is one, the default value.
std::string option_description(const CLI::Option& option);
/// The description's first part, which ends at the first semicolon, the choices of the value, and the default value.
std::string brief_description(const CLI::Option& option);

}  // namespace easel
