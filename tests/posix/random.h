// What the programs of this directory share: random choices that a seed repeats, options, an end with a
// reason.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace cloister::posix {

// Ends the process with 1 and one line that begins with the program's purpose.
[[noreturn]] inline void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  // 0 to end - 1. Not std::uniform_int_distribution, whose choices are the library's own.
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }
  bool once_in(std::uint64_t count) { return below(count) == 0; }
  template <typename Container>
  const auto& of(const Container& from) {
    return from[below(from.size())];
  }
  std::string bytes(std::size_t count) {
    std::string out(count, '\0');
    std::uint64_t value = engine_();
    for (auto& byte : out) {
      value = value * 6364136223846793005ULL + 1442695040888963407ULL;
      byte = static_cast<char>(value >> 56);
    }
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

// `--name value` pairs; every name must be one of the defaults.
class Options {
 public:
  Options(int argc, char** argv, std::map<std::string, std::string> defaults) : values_(std::move(defaults)) {
    for (int at = 1; at < argc; at += 2) {
      std::string_view word = argv[at];
      auto found = word.starts_with("--") ? values_.find(std::string(word.substr(2))) : values_.end();
      if (found == values_.end() || at + 1 >= argc) die("unknown or without a value: " + std::string(word));
      found->second = argv[at + 1];
    }
  }
  const std::string& text(const std::string& name) const { return values_.at(name); }
  std::uint64_t number(const std::string& name) const { return std::stoull(values_.at(name)); }
  // 0 stands for a new seed each time.
  std::uint64_t seed() const { return number("seed") != 0 ? number("seed") : std::random_device()(); }

 private:
  std::map<std::string, std::string> values_;
};

// FNV-1a: short, and enough to tell contents apart that nobody chose to collide.
inline std::uint64_t hash(std::string_view bytes) {
  std::uint64_t out = 14695981039346656037ULL;
  for (char byte : bytes) out = (out ^ static_cast<std::uint8_t>(byte)) * 1099511628211ULL;
  return out;
}

}  // namespace cloister::posix
