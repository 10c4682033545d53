/* For tests, by LD_PRELOAD: vsock addresses as unix sockets, $VSOCK_DIR/CID.PORT, on machines that have no vsock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PARENT 3

static const char *directory;

/* Programs under test forget their environment. */
__attribute__((constructor)) static void remember(void) { directory = strdup(getenv("VSOCK_DIR")); }

static void translate(const struct sockaddr *from, struct sockaddr_un *to) {
  const struct sockaddr_vm *vm = (const struct sockaddr_vm *)from;
  unsigned cid = vm->svm_cid == VMADDR_CID_ANY ? PARENT : vm->svm_cid;
  memset(to, 0, sizeof *to);
  to->sun_family = AF_UNIX;
  snprintf(to->sun_path, sizeof to->sun_path, "%s/%u.%u", directory, cid, vm->svm_port);
}

int socket(int family, int type, int protocol) {
  int (*next)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
  return next(family == AF_VSOCK ? AF_UNIX : family, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
  int (*next)(int, const struct sockaddr *, socklen_t) = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
  struct sockaddr_un path;
  if (address->sa_family != AF_VSOCK) return next(fd, address, size);
  translate(address, &path);
  return next(fd, (const struct sockaddr *)&path, sizeof path);
}

int bind(int fd, const struct sockaddr *address, socklen_t size) {
  int (*next)(int, const struct sockaddr *, socklen_t) = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
  struct sockaddr_un path;
  if (address->sa_family != AF_VSOCK) return next(fd, address, size);
  translate(address, &path);
  return next(fd, (const struct sockaddr *)&path, sizeof path);
}
