#include <algorithm>

#include "cli/reference.h"
#include "cli/reference_verbs.h"

namespace cloister::cli {

namespace {

std::string joined(const std::vector<std::string>& words, std::string_view between = " ") {
  return fmt::format("{}", fmt::join(words, between));
}

// In single quotes, for bash and zsh.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

std::vector<std::string> option_names(const VerbFacts& verb) {
  std::vector<std::string> out;
  for (const auto& option : verb.options)
    if (!option.operand) out.insert(out.end(), option.names.begin(), option.names.end());
  return out;
}

// --- bash
// ---------------------------------------------------------------------------------------------------------

std::string bash_values(const OptionFacts& option) {
  switch (option.value) {
    case ValueKind::file:
      return "_cloister_files";
    case ValueKind::directory:
      return "_cloister_directories";
    case ValueKind::words:
      return "_cloister_words " + quoted(joined(option.words));
    default:
      return ":";  // nothing to offer
  }
}

std::string bash_verb(const VerbFacts& verb) {
  std::string values;
  std::string operand = ":";
  for (const auto& option : verb.options) {
    if (option.operand && operand == ":") operand = bash_values(option);
    if (!option.operand && option.value != ValueKind::none)
      values += fmt::format("        {}) {}; return ;;\n", joined(option.names, "|"), bash_values(option));
  }
  if (!verb.verbs.empty()) operand = "_cloister_words " + quoted(joined(verb.verbs));
  auto out = fmt::format("    {})\n", quoted(verb.path));
  if (!values.empty()) out += "      case $previous in\n" + values + "      esac\n";
  return out +
         fmt::format(
             "      case $current in\n        -*) _cloister_words {} ;;\n        *) {} ;;\n      esac ;;\n",
             quoted(joined(option_names(verb))), operand);
}

constexpr std::string_view kBashHead = R"(# bash completion for cloister, made by: cloister completion bash
_cloister_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }
_cloister_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); }
_cloister_directories() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current"); }
_cloister() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ ${COMP_WORDS[i]} == -- ]] && return
  done
  # bash cuts --option=value into three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if ((COMP_CWORD > 1)); then verb=${COMP_WORDS[1]}; fi
)";

// --- zsh
// ----------------------------------------------------------------------------------------------------------

// What _arguments reads in a description.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_values(const OptionFacts& option) {
  switch (option.value) {
    case ValueKind::none:
      return "";
    case ValueKind::file:
      return ":file:_files";
    case ValueKind::directory:
      return ":directory:_files -/";
    case ValueKind::words:
      return ":word:(" + joined(option.words) + ")";
    default:
      return ":text: ";
  }
}

std::string zsh_verb(const VerbFacts& verb) {
  auto out = fmt::format("    {})\n      _arguments -S", quoted(verb.path));
  for (const auto& option : verb.options) {
    if (option.operand) {
      out += " \\\n        " + quoted((option.repeated ? "*" : "") + zsh_values(option));
      continue;
    }
    for (const auto& name : option.names) {
      auto exclusive = option.repeated ? "*" : "(" + joined(option.names) + ")";
      out +=
          " \\\n        " + quoted(exclusive + name + "[" + zsh_text(option.help) + "]" + zsh_values(option));
    }
  }
  if (!verb.verbs.empty()) out += " \\\n        " + quoted(":verb:(" + joined(verb.verbs) + ")");
  return out + " ;;\n";
}

// --- all three
// ----------------------------------------------------------------------------------------------------

// The verbs that have verbs, as a shell's pattern.
std::string parents(const std::vector<VerbFacts>& verbs) {
  std::vector<std::string> out;
  for (const auto& verb : verbs)
    if (!verb.path.empty() && !verb.verbs.empty()) out.push_back(verb.path);
  return joined(out, "|");
}

std::string bash(const std::vector<VerbFacts>& verbs) {
  auto out = std::string(kBashHead);
  out += fmt::format(
      "  if ((COMP_CWORD > 2)); then\n    case $verb in {}) verb+=\" ${{COMP_WORDS[2]}}\" ;; esac\n  fi\n",
      parents(verbs));
  out += "  case $verb in\n";
  for (const auto& verb : verbs) out += bash_verb(verb);
  return out + "  esac\n}\ncomplete -F _cloister cloister\n";
}

std::string zsh(const std::vector<VerbFacts>& verbs) {
  std::string out =
      "#compdef cloister\n# zsh completion for cloister, made by: cloister completion zsh\n_cloister() {\n";
  out += "  local verb= taken=0\n";
  out += "  if ((CURRENT > 2)); then verb=$words[2] taken=1; fi\n";
  out += fmt::format(
      "  if ((CURRENT > 3)); then\n    case $verb in {}) verb+=\" $words[3]\" taken=2 ;; esac\n  fi\n",
      parents(verbs));
  // _arguments counts from the word that it takes for the command's name.
  out += "  shift $taken words\n  ((CURRENT -= taken))\n  case $verb in\n";
  for (const auto& verb : verbs) out += zsh_verb(verb);
  return out +
         "  esac\n}\nif [[ $funcstack[1] == _cloister ]]; then _cloister \"$@\"; else compdef _cloister "
         "cloister; fi\n";
}

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_values(const OptionFacts& option) {
  switch (option.value) {
    case ValueKind::none:
      return "";
    case ValueKind::file:
      return " -r -F";
    case ValueKind::directory:
      return " -x -a '(__fish_complete_directories)'";
    case ValueKind::words:
      return " -x -a " + fish_quoted(joined(option.words));
    default:
      return " -x";
  }
}

// True while the cursor is in this verb's words.
std::string fish_when(const VerbFacts& verb) {
  if (verb.path.empty()) return "-n __fish_use_subcommand";
  auto space = verb.path.find(' ');
  auto when = "__fish_seen_subcommand_from " + verb.path.substr(0, space);
  if (space != std::string::npos) when += "; and __fish_seen_subcommand_from " + verb.path.substr(space + 1);
  return "-n " + fish_quoted(when);
}

std::string fish_verb(const VerbFacts& verb, const std::vector<VerbFacts>& all) {
  std::string out;
  auto line = "complete -c cloister " + fish_when(verb);
  for (const auto& name : verb.verbs) {
    auto path = verb.path.empty() ? name : verb.path + " " + name;
    auto below = std::ranges::find(all, path, &VerbFacts::path);
    auto about = below == all.end() ? "" : " -d " + fish_quoted(below->about);
    auto unless = verb.path.empty()
                      ? line
                      : "complete -c cloister -n " +
                            fish_quoted("__fish_seen_subcommand_from " + verb.path +
                                        "; and not __fish_seen_subcommand_from " + joined(verb.verbs));
    out += fmt::format("{} -a {}{}\n", unless, name, about);
  }
  for (const auto& option : verb.options) {
    auto values = fish_values(option);
    if (option.operand) {
      if (option.value == ValueKind::file) out += line + " -F\n";
      if (option.value == ValueKind::words) out += line + " -a " + fish_quoted(joined(option.words)) + "\n";
      continue;
    }
    out += line;
    for (const auto& name : option.names)
      out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    out += values + " -d " + fish_quoted(option.help) + "\n";
  }
  return out;
}

std::string fish(const std::vector<VerbFacts>& verbs) {
  std::string out =
      "# fish completion for cloister, made by: cloister completion fish\ncomplete -c cloister -f\n";
  for (const auto& verb : verbs) out += fish_verb(verb, verbs);
  return out;
}

}  // namespace

Result<std::string> completion_for(const CLI::App& app, const std::string& shell) {
  auto verbs = all_verbs(app);
  if (shell == "bash") return bash(verbs);
  if (shell == "zsh") return zsh(verbs);
  if (shell == "fish") return fish(verbs);
  return fail(ErrorKind::invalid, "no completion for '{}': bash, zsh and fish have one", shell);
}

}  // namespace cloister::cli
