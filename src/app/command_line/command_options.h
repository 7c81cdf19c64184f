// The program's commands, and the options that only one of them has.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "app/command_line/options.h"

namespace easel {

/// What the parser reads as text and finish_commands turns into Options.
struct ParsedTexts {
  std::vector<std::string> prompt_words;
  std::string size;
  std::vector<std::string> estimated_sizes;
  std::string shell;
};

/// Adds all commands. `options` and `texts` receive what is parsed and must outlive `app`.
void add_commands(CLI::App& app, Options& options, ParsedTexts& texts);

/// Completes the options of the command that was given. To be called after parsing.
/// @throws CLI::ParseError  a size is malformed, or a prompt is missing
void finish_commands(const CLI::App& app, const ParsedTexts& texts, Options& options);

}  // namespace easel
