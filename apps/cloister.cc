// cloister: the command line of owners, users and administrators.
#include "cli/main.h"

int main(int argc, char** argv) {
  return cloister::cli::main(argc, argv);
}
