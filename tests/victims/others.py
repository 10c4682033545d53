"""Reaches for the other processes, pid 1 first, by every call that reads or changes one: {"name": outcome}."""

import ctypes
import errno
import json
import os
import platform
import signal

libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"x86_64": {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_open": 434, "pidfd_getfd": 438,
                    "process_madvise": 440, "perf_event_open": 298, "migrate_pages": 256, "move_pages": 279, "prlimit64": 302},
         "aarch64": {"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "pidfd_open": 434, "pidfd_getfd": 438,
                     "process_madvise": 440, "perf_event_open": 241, "migrate_pages": 238, "move_pages": 239, "prlimit64": 261}}
NUMBER = CALLS[platform.machine()]
PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_TRACEME = 16, 0x4206, 0


def call(name, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    if libc.syscall(NUMBER[name], *words) >= 0:
        return "succeeded"
    return errno.errorcode[ctypes.get_errno()]


def read(path):
    try:
        with open(path, "rb") as file:
            file.seek(1 << 16 if path.endswith("/mem") else 0)
            return "succeeded" if file.read(1) else "empty"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def look(action, path):
    try:
        action(path)
        return "succeeded"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


space = ctypes.create_string_buffer(64)
local = IoVec(ctypes.addressof(space), 64)
remote = IoVec(0x400000, 64)
report = {"pid": os.getpid(), "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit())}
for name in ("mem", "environ", "maps", "smaps", "auxv", "stack", "syscall", "io", "pagemap", "clear_refs"):
    report[f"read {name}"] = read(f"/proc/1/{name}")
for name in ("exe", "cwd", "root"):
    report[f"follow {name}"] = look(os.readlink, f"/proc/1/{name}")
report["list fd"] = look(os.listdir, "/proc/1/fd")
report["list root"] = look(os.listdir, "/proc/1/root/")
report["attach"] = call("ptrace", PTRACE_ATTACH, 1, 0, 0)
report["seize"] = call("ptrace", PTRACE_SEIZE, 1, 0, 0)
report["be traced"] = call("ptrace", PTRACE_TRACEME, 0, 0, 0)
report["process_vm_readv"] = call("process_vm_readv", 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
report["process_vm_writev"] = call("process_vm_writev", 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
report["kcmp"] = call("kcmp", 1, os.getpid(), 0, 0, 0)
report["perf_event_open"] = call("perf_event_open", ctypes.byref(space), 1, -1, -1, 0)
report["migrate_pages"] = call("migrate_pages", 1, 1, ctypes.byref(space), ctypes.byref(space))
report["move_pages"] = call("move_pages", 1, 0, 0, 0, 0, 0)
try:
    handle = os.pidfd_open(1)
    report["pidfd_getfd"] = call("pidfd_getfd", handle, 0, 0)
    report["process_madvise"] = call("process_madvise", handle, ctypes.byref(local), 1, 21, 0)
except OSError as error:
    report["pidfd_getfd"] = report["process_madvise"] = errno.errorcode[error.errno]
os.kill(1, signal.SIGKILL)  # the init of a namespace does not hear it from within
for other in (2**15, 4242, 61000):  # pids of the enclave or the host, were they visible
    report[f"kill {other}"] = look(lambda pid: os.kill(pid, 0), other)
print(json.dumps(report))
