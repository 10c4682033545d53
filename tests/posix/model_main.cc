// folder_model --folder DIR --reference DIR [--seed N] [--operations N] [--processes N] [--compare N]
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model.h"

namespace cloister::posix {

namespace {

std::array<int, 2> open_roots(const Options& options) {
  std::array<int, 2> roots{};
  for (std::size_t side = 0; side < 2; ++side) {
    const auto& path = options.text(side == 0 ? "folder" : "reference");
    roots[side] = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (roots[side] < 0) die("model: cannot open " + path);
    if (::mkdirat(roots[side], "common", 0755) != 0) die("model: " + path + " is not empty, or not writable");
  }
  return roots;
}

void work(std::array<int, 2> roots, const Options& options, std::uint64_t seed, std::size_t worker) {
  auto own = "p" + std::to_string(worker);
  for (int root : roots) {
    if (::mkdirat(root, own.c_str(), 0755) != 0) die("model: cannot make " + own);
  }
  Model model(roots, seed, worker);
  auto between = options.number("compare");
  for (std::uint64_t step = 1; step <= options.number("operations") / options.number("processes"); ++step) {
    model.step();
    if (step % between == 0) model.compare_trees();
  }
  model.compare_trees();
  model.report();
}

int run(const Options& options) {
  auto seed = options.seed();
  std::printf("model: seed %lu, %s operations, %s processes\n", static_cast<unsigned long>(seed),
              options.text("operations").c_str(), options.text("processes").c_str());
  std::fflush(stdout);
  auto roots = open_roots(options);
  for (std::size_t worker = 0; worker < options.number("processes"); ++worker) {
    pid_t pid = ::fork();
    if (pid < 0) die("model: fork");
    if (pid > 0) continue;
    work(roots, options, seed, worker);
    std::_Exit(0);
  }
  bool failed = false;
  for (int status = 0; ::wait(&status) > 0;) failed |= status != 0;
  std::printf("model: %s\n", failed ? "the folder differs from the reference" : "alike");
  return failed ? 1 : 0;
}

}  // namespace

}  // namespace cloister::posix

int main(int argc, char** argv) {
  return cloister::posix::run({argc,
                               argv,
                               {{"folder", ""},
                                {"reference", ""},
                                {"seed", "0"},
                                {"operations", "10000"},
                                {"processes", "3"},
                                {"compare", "500"}}});
}
