// cloister-init: pid 1 of an enclave image, /init in its first ramdisk.
#include <unistd.h>

#include "boot/init.h"

int main() {
  cloister::Log log(STDERR_FILENO, "init");
  cloister::boot::run_init(log);
}
