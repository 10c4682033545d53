"""Tries to see, reach and change what it must not, and reports each attempt: {"name": outcome}."""

import ctypes
import errno
import json
import os
import socket
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)


def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def call(name, *arguments):
    if getattr(libc, name)(*arguments) == 0:
        return "succeeded"
    return errno.errorcode[ctypes.get_errno()]


def opened(family, kind=socket.SOCK_STREAM):
    socket.socket(family, kind).close()
    return "succeeded"


def written(path):
    Path(path).write_text("x")
    return "succeeded"


def status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split(":")[1].strip()
    return None


def bound(path):
    Path(path).unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    return "succeeded"


report = {
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "root": sorted(os.listdir("/")),
    "dataset": attempt(lambda: written("/dataset/mine")),
    "runtime": attempt(lambda: written("/usr/mine")),
    "root_write": attempt(lambda: written("/mine")),
    "output": attempt(lambda: written("/output/mine")),
    "socket_in_tmp": attempt(lambda: bound("/tmp/meet")),
    "socket_in_output": attempt(lambda: bound("/output/meet")),
    "shadow": attempt(lambda: Path("/etc/shadow").read_text()),
    "init_memory": attempt(lambda: open("/proc/1/mem", "rb").read(1)),
    "init_environ": attempt(lambda: Path("/proc/1/environ").read_bytes().hex()),
    "inet": attempt(lambda: opened(socket.AF_INET)),
    "inet6": attempt(lambda: opened(socket.AF_INET6)),
    "netlink": attempt(lambda: opened(socket.AF_NETLINK, socket.SOCK_RAW)),
    "packet": attempt(lambda: opened(17, socket.SOCK_RAW)),
    "vsock": attempt(lambda: opened(40)),
    "interfaces": attempt(lambda: [name for _, name in socket.if_nameindex()]),
    "unshare_user": call("unshare", 0x10000000),
    "unshare_mount": call("unshare", 0x00020000),
    "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "chroot": call("chroot", b"/tmp"),
    "setuid": call("setuid", 0),
    "mknod": attempt(lambda: os.mknod("/tmp/device", 0o20666, os.makedev(1, 3)) or "succeeded"),
    "uid": os.getuid(),
    "groups": os.getgroups(),
    "capabilities": [status("CapEff"), status("CapPrm"), status("CapBnd"), status("CapAmb")],
    "no_new_privileges": status("NoNewPrivs"),
    "seccomp": status("Seccomp"),
    "environment": sorted(os.environ),
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
}
print(json.dumps(report))
