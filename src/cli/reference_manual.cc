#include <algorithm>

#include "cli/reference.h"
#include "cli/reference_verbs.h"
#include "sys/file.h"

namespace cloister::cli {

namespace {

// One character of UTF-8 as groff names it: \[u2026]. Our own texts are the input.
std::string groff_character(std::string_view text, std::size_t& at) {
  auto first = static_cast<unsigned char>(text[at]);
  int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  std::uint32_t code = first & (0x3fU >> static_cast<unsigned>(more));
  for (; more > 0 && at + 1 < text.size(); --more)
    code = code << 6U | (static_cast<unsigned char>(text[++at]) & 0x3fU);
  return fmt::format("\\[u{:04X}]", code);
}

std::string groff(std::string_view text) {
  std::string out;
  if (text.starts_with('.') || text.starts_with('\'')) out = "\\&";
  for (std::size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '~')
      out += "\\(ti";
    else if (c == '`')
      out += "\\(ga";
    else if (c == '\'')
      out += "\\(aq";
    else if (c == '^')
      out += "\\(ha";
    else if (static_cast<unsigned char>(c) >= 0x80)
      out += groff_character(text, at);
    else
      out += c;
  }
  return out;
}

std::string bold(std::string_view text) {
  return "\\fB" + groff(text) + "\\fR";
}

// --diagnostics → DIAGNOSTICS, unless the kind says it better.
std::string placeholder(const OptionFacts& option) {
  switch (option.value) {
    case ValueKind::file:
      return "FILE";
    case ValueKind::directory:
      return "DIR";
    default:
      break;
  }
  std::string name;
  for (char c : option.longest()) {
    if (c != '-') name += static_cast<char>(::toupper(c));
  }
  return name;
}

std::string option_entry(const OptionFacts& option) {
  std::string out = ".TP\n";
  if (option.operand) {
    out += "\\fI" + groff(option.longest()) + "\\fR\n";
  } else {
    for (const auto& name : option.names) out += (&name == &option.names.front() ? "" : ", ") + bold(name);
    if (option.value != ValueKind::none) out += " \\fI" + placeholder(option) + "\\fR";
    out += '\n';
  }
  return out + groff(option.help) + (option.required ? " (required)" : "") + "\n";
}

// "cloister key allow [options] ID"
std::string synopsis(const VerbFacts& verb) {
  auto out = ".B " + groff("cloister" + (verb.path.empty() ? "" : " " + verb.path)) + "\n[\\fIoptions\\fR]";
  for (const auto& option : verb.options) {
    if (!option.operand) continue;
    auto name = "\\fI" + groff(option.longest()) + "\\fR" + (option.repeated ? "\\&..." : "");
    out += " " + (option.required ? name : "[" + name + "]");
  }
  if (!verb.verbs.empty()) out += " \\fIverb\\fR [\\fIarguments\\fR]";
  return out + "\n";
}

std::string body(const VerbFacts& verb) {
  std::string out = ".SH OPTIONS\n";
  for (const auto& option : verb.options) out += option_entry(option);
  return verb.options.empty() ? "" : out;
}

std::string examples(const VerbFacts& verb) {
  if (verb.examples.empty()) return "";
  std::string out = ".SH EXAMPLES\n.nf\n";
  for (const auto& line : verb.examples) out += groff(line) + "\n";
  return out + ".fi\n";
}

std::string page_name(const VerbFacts& verb) {
  auto name = "cloister" + (verb.path.empty() ? "" : "-" + verb.path);
  std::ranges::replace(name, ' ', '-');
  return name;
}

std::string page(const VerbFacts& verb, const std::vector<VerbFacts>& all) {
  auto name = page_name(verb);
  std::string upper;
  for (char c : name) upper += static_cast<char>(::toupper(c));
  auto out = fmt::format(".TH {} 1 \"\" \"cloister {}\" \"Cloister\"\n", groff(upper), CLOISTER_VERSION);
  out += ".SH NAME\n" + groff(name) + " \\- " + groff(verb.about) + "\n";
  out += ".SH SYNOPSIS\n" + synopsis(verb);
  out += body(verb);
  std::string below;
  for (const auto& other : all) {
    auto parent =
        other.path.rfind(' ') == std::string::npos ? "" : other.path.substr(0, other.path.rfind(' '));
    if (!other.path.empty() && parent == verb.path)
      below += ".TP\n" + bold(page_name(other)) + "(1)\n" + groff(other.about) + "\n";
  }
  if (!below.empty()) out += ".SH VERBS\n" + below;
  out += examples(verb);
  return out + (verb.path.empty() ? "" : ".SH SEE ALSO\n.BR cloister (1)\n");
}

}  // namespace

Status write_manual(const CLI::App& app, const std::string& directory) {
  auto verbs = all_verbs(app);
  TRY(sys::make_directories(directory));
  for (const auto& verb : verbs) {
    auto path = fmt::format("{}/{}.1", directory, page_name(verb));
    TRY(sys::write_file_atomic(path, as_bytes(page(verb, verbs))));
  }
  return {};
}

}  // namespace cloister::cli
