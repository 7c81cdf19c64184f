// Help, manual page and shell completion, all made from the options that the parser knows.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace easel {

// The groups of options in help and manual.
inline constexpr const char* kGeneralGroup = "General options";
inline constexpr const char* kModelGroup = "Model options";
inline constexpr const char* kServerGroup = "Server options";
inline constexpr const char* kLimitGroup = "Limits";

/// The help of the program, or of a command, with examples, at most 80 columns wide.
/// @param all  every option; otherwise the usual ones, within 24 lines, which is a screen
std::string help_text(const CLI::App& app, bool all);

/// A manual page in roff's man macros. @param version  of the program
std::string manual_page(const CLI::App& program, const std::string& version);

// Completion scripts: commands, options, the values of options with fixed choices, and file names.
std::string bash_completion(const CLI::App& program);
std::string zsh_completion(const CLI::App& program);

}  // namespace easel
