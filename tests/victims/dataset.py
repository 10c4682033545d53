"""Tries to change what it may only read, /dataset/page.txt and its directory, by every call for it: {"name": outcome}."""

import ctypes
import errno
import fcntl
import json
import os

FILE, AREA = "/dataset/page.txt", "/dataset"
libc = ctypes.CDLL(None, use_errno=True)
report = {}


def attempt(name, action):
    try:
        action()
        report[name] = "succeeded"
    except OSError as error:
        report[name] = errno.errorcode.get(error.errno, str(error.errno))


def reopened():
    readable = os.open(FILE, os.O_RDONLY)
    os.open(f"/proc/self/fd/{readable}", os.O_RDWR)


def on_descriptor(action):
    readable = os.open(FILE, os.O_RDONLY)
    return lambda: action(readable)


def checked(value):
    if value != 0:
        raise OSError(ctypes.get_errno(), "")


attempt("read", lambda: os.read(os.open(FILE, os.O_RDONLY), 1) or 1 / 0)
attempt("write", lambda: os.open(FILE, os.O_WRONLY))
attempt("append", lambda: os.open(FILE, os.O_WRONLY | os.O_APPEND))
attempt("truncate on opening", lambda: os.open(FILE, os.O_RDONLY | os.O_TRUNC))
attempt("truncate", lambda: os.truncate(FILE, 0))
attempt("write by /proc", reopened)
attempt("create", lambda: os.open(f"{AREA}/new", os.O_WRONLY | os.O_CREAT))
attempt("nameless", lambda: os.open(AREA, os.O_RDWR | os.O_TMPFILE))
attempt("mkdir", lambda: os.mkdir(f"{AREA}/new"))
attempt("mkfifo", lambda: os.mkfifo(f"{AREA}/new"))
attempt("symlink", lambda: os.symlink("page.txt", f"{AREA}/new"))
attempt("unlink", lambda: os.unlink(FILE))
attempt("rename within", lambda: os.rename(FILE, f"{AREA}/other"))
attempt("rename away", lambda: os.rename(FILE, "/output/page.txt"))
attempt("rename over", lambda: (open("/output/mine", "w").close(), os.rename("/output/mine", FILE)))
attempt("link away", lambda: os.link(FILE, "/output/page.txt"))
attempt("link into", lambda: (open("/output/mine", "w").close(), os.link("/output/mine", f"{AREA}/new")))
attempt("times", lambda: os.utime(FILE, (1, 1)))
attempt("times by descriptor", on_descriptor(lambda fd: os.utime(fd, (1, 1))))
attempt("mode", lambda: os.chmod(FILE, 0o777))
attempt("mode by descriptor", on_descriptor(lambda fd: os.fchmod(fd, 0o777)))
attempt("mode of the directory", lambda: os.chmod(AREA, 0o777))
attempt("owner", lambda: os.chown(FILE, os.getuid(), os.getgid()))
attempt("attribute", lambda: os.setxattr(FILE, "user.mine", b"x"))
attempt("attribute by descriptor", on_descriptor(lambda fd: os.setxattr(fd, "user.mine", b"x")))
attempt("allocate", on_descriptor(lambda fd: os.posix_fallocate(fd, 0, 1 << 20)))
attempt("flags", on_descriptor(lambda fd: fcntl.ioctl(fd, 0x40086602, b"\x10\0\0\0\0\0\0\0")))  # FS_IOC_SETFLAGS: immutable
attempt("remount", lambda: checked(libc.mount(None, AREA.encode(), None, 0x20 | 0x1000, None)))
print(json.dumps(report))
