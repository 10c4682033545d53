// cloister-nsm: the emulated security module of a machine under QEMU, as a vhost-user device. `cloister up
// --backend qemu` starts it.
#include "emulator/nsm_virtio.h"

int main(int argc, char** argv) {
  return cloister::emulator::run_nsm_program(argc, argv);
}
