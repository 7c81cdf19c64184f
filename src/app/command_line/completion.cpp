// Completion scripts for bash and zsh.
#include <string>
#include <vector>

#include "app/command_line/help.h"
#include "app/command_line/option_text.h"
#include "core/text.h"
#include "hub/recipes.h"

namespace easel {
namespace {

/// How the value of an option is completed.
enum class ValueKind { kNone, kChoices, kFile, kFolder };

ValueKind value_kind(const CLI::Option& option) {
  if (!value_choices(option).empty()) return ValueKind::kChoices;
  const auto type = option.get_type_name();
  const auto value = type.substr(0, type.find(':'));
  if (value == "FILE" || value == "PATH") return ValueKind::kFile;
  return value == "FOLDER" ? ValueKind::kFolder : ValueKind::kNone;
}

bool takes_value(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

/// "--output" and "-o" of each option.
std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_snames()) flags.push_back("-" + name);
    for (const auto& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

/// What `easel pull` knows by name.
std::vector<std::string> names_of_recipes() {
  std::vector<std::string> names;
  for (const auto& recipe : hub::recipes()) names.push_back(recipe.name);
  return names;
}

std::vector<const CLI::App*> with_program(const CLI::App& program) {
  auto apps = listed_commands(program);
  apps.insert(apps.begin(), &program);
  return apps;
}

std::string bash_reply(const CLI::Option& option) {
  switch (value_kind(option)) {
    case ValueKind::kChoices:
      return concat("mapfile -t COMPREPLY < <(compgen -W '", join(value_choices(option), " "), "' -- \"$current\")");
    case ValueKind::kFile:
      return "mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); compopt -o filenames";
    case ValueKind::kFolder:
      return "mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); compopt -o filenames";
    case ValueKind::kNone:
      break;
  }
  return ":";
}

/// The lines of a case statement over "command:option" that complete the option's value.
std::string bash_value_cases(const CLI::App& app, bool is_program) {
  std::string cases;
  for (const auto* option : app.get_options()) {
    if (!takes_value(*option)) continue;
    std::vector<std::string> patterns;
    for (const auto& flag : flags_of(app)) {
      if (app.get_option_no_throw(flag) != option) continue;
      patterns.push_back(concat(is_program ? "*" : app.get_name(), ":", flag));
    }
    if (!patterns.empty()) cases += concat("    ", join(patterns, "|"), ") ", bash_reply(*option), "; return ;;\n");
  }
  return cases;
}

/// Text within single quotes, as the description of an option in a specification of _arguments.
std::string zsh_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
    } else {
      if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

std::string zsh_action(const CLI::Option& option) {
  switch (value_kind(option)) {
    case ValueKind::kChoices:
      return concat("(", join(value_choices(option), " "), ")");
    case ValueKind::kFile:
      return "_files";
    case ValueKind::kFolder:
      return "_files -/";
    case ValueKind::kNone:
      break;
  }
  return " ";
}

/// The action of a positional argument.
std::string zsh_positional(const CLI::App& app, const CLI::Option& option) {
  return app.get_name() == "pull" ? concat("(", zsh_text(join(names_of_recipes(), " ")), ")") : zsh_action(option);
}

/// Specifications of _arguments, one a line.
std::string zsh_specifications(const CLI::App& app) {
  std::string text;
  for (const auto* option : app.get_options()) {
    if (option->get_positional()) {
      text +=
          concat("    '*:", zsh_text(option->get_name(/*positional=*/true)), ":", zsh_positional(app, *option), "'\n");
      continue;
    }
    for (const auto& flag : flags_of(app)) {
      if (app.get_option_no_throw(flag) != option) continue;
      text += concat("    '*", flag, "[", zsh_text(option->get_description()), "]");
      if (takes_value(*option)) text += concat(":", zsh_text(value_name(*option)), ":", zsh_action(*option));
      text += "'\n";
    }
  }
  return text;
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
  std::vector<std::string> names;
  for (const auto* command : listed_commands(program)) names.push_back(command->get_name());
  std::string values, options;
  for (const auto* app : with_program(program)) {
    const bool is_program = app == &program;
    if (!is_program) options += concat("    ", app->get_name(), ") words+=' ", join(flags_of(*app), " "), "' ;;\n");
    if (!is_program) values += bash_value_cases(*app, false);
  }
  values += bash_value_cases(program, true);
  const auto* shells = program.get_subcommand("completion")->get_option("shell");
  return concat(R"(# bash completion for easel: source <(easel completion bash)
_easel() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in )",
                join(names, "|"), R"() command=$word; break ;; esac
  done
  COMPREPLY=()
  case $command:$previous in
)",
                values, R"(  esac
  local words=')",
                join(flags_of(program), " "), R"('
  case $command in
)",
                options, R"(  esac
  case $command:$current in
    *:-*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    :*) mapfile -t COMPREPLY < <(compgen -W ')",
                join(names, " "), R"(' -- "$current") ;;
    pull:*) mapfile -t COMPREPLY < <(compgen -W ')",
                join(names_of_recipes(), " "), R"(' -- "$current") ;;
    completion:*) mapfile -t COMPREPLY < <(compgen -W ')",
                join(value_choices(*shells), " "), R"(' -- "$current") ;;
    convert:*) mapfile -t COMPREPLY < <(compgen -f -- "$current"); compopt -o filenames ;;
  esac
}
complete -F _easel easel
)");
}

std::string zsh_completion(const CLI::App& program) {
  std::string commands, cases;
  for (const auto* command : listed_commands(program)) {
    commands += concat("    '", command->get_name(), ":", zsh_text(command->get_description()), "'\n");
    cases += concat("    (", command->get_name(), ") specifications+=(\n", zsh_specifications(*command), "    ) ;;\n");
  }
  return concat(R"(#compdef easel
# zsh completion for easel: easel completion zsh > a folder of fpath/_easel
_easel() {
  local -a commands=(
)",
                commands, R"(  )
  local -a specifications=(
)",
                zsh_specifications(program), R"(  )
  local command= word
  for word in ${words[2,CURRENT-1]}; do
    if (( ${commands[(I)$word:*]} )); then command=$word; break; fi
  done
  case $command in
    ('') specifications+=('1:command:{_describe command commands}') ;;
)",
                cases, R"(  esac
  if [[ -n $command ]]; then
    words=(easel ${words[2,-1]:#$command})
    (( CURRENT -= 1 ))
  fi
  _arguments -s $specifications
}
if [[ $funcstack[1] == _easel ]]; then _easel "$@"; else compdef _easel easel; fi
)");
}

}  // namespace easel
