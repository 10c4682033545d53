// cloister-kms: the embedded KMS as a program.
#include "emulator/commands.h"

int main(int argc, char** argv) {
  return cloister::emulator::run_commands(argc, argv);
}
