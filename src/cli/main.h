// The whole command line, from arguments to exit code.
#pragma once

namespace cloister::cli {

int main(int argc, char** argv);

}  // namespace cloister::cli
