#!/usr/bin/python3
"""A stand-in for AWS's nitro-cli 1.5, for machines without Nitro: found first on the PATH, it answers as the documentation shows.

What it knows is in files of $NITRO_CLI_SOCKETS_PATH, where the real one has its sockets:
machine.json   what it has: {"memory_mib": 4096, "pool": [1, 3, 5, 7], "threads": 2}, and how it behaves: {"run_seconds": 2, …}
fail.json      {"command": "run-enclave", "code": "E29", "cause": "…", "where": "process" or "cli"}: that it fails, and how
asked.jsonl    every call: its words and its environment
ID.json        a running enclave; ID.console what it prints
vsock/CID.PORT where it listens (vsock_shim.c)
It checks what the real one checks: memory, four times the image, processors, whole cores, one start at a time.
"""

import argparse
import hashlib
import json
import os
import secrets
import signal
import socket
import struct
import sys
import time
from pathlib import Path

STATE = Path(os.environ.get("NITRO_CLI_SOCKETS_PATH", "/run/nitro_enclaves"))
EIF_HEADER, SECTION_HEADER = 548, 12
KERNEL, COMMAND_LINE, RAMDISK = 1, 2, 3
CONTROL_PORT = 5000
LINK = "https://docs.aws.amazon.com/enclaves/latest/user/cli-errors.html"
E39 = ("E39", "Failed to connect to 1 enclave processes")


def load(name, default):
    path = STATE / name
    return json.loads(path.read_text()) if path.exists() else default


def machine():
    return {"memory_mib": 4096, "pool": [1, 3, 5, 7], "threads": 2} | load("machine.json", {})


def report(code, cause, extra=""):
    """One error as the real one prints it; the words after the code differ for each and are not looked at."""
    lines = [f"[ {code} ] Words that explain {code}.{extra}", "", f"For more details, please visit {LINK}#{code}", ""]
    if os.environ.get("BACKTRACE") == "1":
        lines += ["Backtrace:", "  Action: Run Enclave", "  Subactions:", "    Failed to execute command `Run`", f"    {cause}",
                  "  Root error file: src/enclave_proc/resource_manager.rs", "  Root error line: 371", "  Version: 1.5.0", ""]
    print("\n".join(lines + ['If you open a support ticket, please provide the error log found at "/var/log/nitro_enclaves/err.log"']),
          file=sys.stderr, flush=True)


def fail(code, cause, where="process", extra=""):
    """Errors of the process behind an enclave arrive first; then the CLI notices that it did not answer."""
    report(code, cause, extra)
    if where == "process":
        print("Failed connections: 1", file=sys.stderr)
        report(*E39)
        code = E39[0]
    sys.exit(int(code[1:]))


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def enclaves():
    """Those whose process lives, as the real one deletes the sockets of the others."""
    found = []
    for path in sorted(STATE.glob("i-*.json")):
        one = json.loads(path.read_text())
        if is_alive(one["ProcessID"]):
            found.append(one)
        else:
            path.unlink()
    return found


def measure(path):
    """PCR0 to PCR2 of an image, by its format's specification."""
    image, parts, at = Path(path).read_bytes(), [], EIF_HEADER
    while at < len(image):
        kind, _, size = struct.unpack(">HHQ", image[at:at + SECTION_HEADER])
        parts.append((kind, image[at + SECTION_HEADER:at + SECTION_HEADER + size]))
        at += SECTION_HEADER + size
    boot = [data for kind, data in parts if kind in (KERNEL, COMMAND_LINE)]
    disks = [data for kind, data in parts if kind == RAMDISK]

    def extended(contents):
        return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(contents)).digest()).hexdigest()

    return {"HashAlgorithm": "Sha384 { ... }", "PCR0": extended(boot + disks), "PCR1": extended(boot + disks[:1]),
            "PCR2": extended(disks[1:])}


def live(one, relay):
    """The process behind an enclave: it is there, and listens where the enclave's supervisor would."""
    listener = socket.socket(socket.AF_UNIX)
    path = STATE / "vsock" / f"{one['EnclaveCID']}.{CONTROL_PORT}"
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        connection, _ = listener.accept()
        if relay:  # a host that puts something else behind the address
            other = socket.socket(socket.AF_UNIX)
            other.connect(relay)
            if os.fork() == 0:
                copy_both(connection, other)
        connection.close()


def copy_both(one, other):
    if os.fork() == 0:
        one, other = other, one
    while data := one.recv(65536):
        other.sendall(data)
    other.shutdown(socket.SHUT_WR)
    os._exit(0)


def spawn(one, settings):
    """Detached, as the real one does it: the caller's pipes are let go."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            one["ProcessID"] = os.getpid()
            (STATE / f"{one['EnclaveID']}.json").write_text(json.dumps(one))
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            os.write(writing, b"x")
            os.close(writing)
            if settings.get("dies"):
                os._exit(0)
            live(one, settings.get("relay"))
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    return json.loads((STATE / f"{one['EnclaveID']}.json").read_text())


def run_enclave(args):
    settings, path = machine(), Path(args.eif_path)
    if not path.is_file():
        fail("E19", f"Failed to open the EIF file: {path}", extra=f"\nFile: '{path}', failing operation: 'Open'.")
    used = enclaves()
    if args.cpu_count > len(settings["pool"]):
        fail("E22", f"Insufficient CPUs available (requested {args.cpu_count}, but maximum is {len(settings['pool'])})")
    least = -(-path.stat().st_size // 2**20) * 4
    if path.stat().st_size * 4 > args.memory * 2**20:
        fail("E26", f"At least {least} MB must be allocated (which is 4 times the EIF file size)")
    print("Start allocating memory...", file=sys.stderr, flush=True)
    left = settings["memory_mib"] - sum(one["MemoryMiB"] for one in used)
    if args.memory > left:
        fail("E27", f"Failed to allocate entire memory ({args.memory - left} MB remained)")
    free = [cpu for cpu in settings["pool"] if all(cpu not in one["CPUIDs"] for one in used)]
    if args.cpu_count > len(free):
        fail("E29", "The provided vCPU is not available in the CPU pool")
    if args.cpu_count % settings["threads"]:
        fail("E29", "The enclave cannot start because full CPU cores have not been set")
    try:
        os.close(os.open(STATE / "booting", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        fail("E36", "Enclave boot heartbeat vsock connection - vsock bind error")
    try:
        time.sleep(settings.get("run_seconds", 0))
    finally:
        (STATE / "booting").unlink()
    names = [one["EnclaveName"] for one in used]
    name = args.enclave_name or path.name.removesuffix(".eif")
    unique = next(one for one in [name] + [f"{name}_{n}" for n in range(1, 99)] if one not in names)
    cpus, cid = free[:args.cpu_count], args.enclave_cid or 16 + len(used)
    one = {"EnclaveName": unique, "EnclaveID": f"i-0123456789abcdef0-enc{secrets.token_hex(8)}", "ProcessID": 0, "EnclaveCID": cid,
           "NumberOfCPUs": len(cpus), "CPUIDs": cpus, "MemoryMiB": args.memory, "State": "RUNNING",
           "Flags": "DEBUG_MODE" if args.debug_mode else "NONE", "Measurements": measure(path)}
    one["Measurements"] |= settings.get("measures", {})
    one = spawn(one, settings)
    (STATE / f"{one['EnclaveID']}.console").write_text("[    0.000000] Linux version 6.12\n[    1.0] the enclave is \x1b[1mready\n")
    if settings.get("late_failure"):  # the enclave is there, and run-enclave fails nevertheless
        fail("E36", "Waiting on enclave to boot failed with error VsockTimeoutError")
    print(f"Started enclave with enclave-cid: {cid}, memory: {args.memory} MiB, cpu-ids: {cpus}", file=sys.stderr)
    shown = ["EnclaveName", "EnclaveID", "ProcessID", "EnclaveCID", "NumberOfCPUs", "CPUIDs", "MemoryMiB"]
    print(json.dumps({key: one[key] for key in shown}, indent=2))


def describe_enclaves(_):
    print(json.dumps(enclaves(), indent=2))


def one_of(args):
    found = [one for one in enclaves() if one["EnclaveID"] == args.enclave_id]
    if not found:
        fail("E11", "Failed to connect to specific enclave process: No such file or directory (os error 2)", "cli")
    return found[0]


def terminate_enclave(args):
    one = one_of(args)
    os.kill(one["ProcessID"], signal.SIGTERM)
    (STATE / f"{one['EnclaveID']}.json").unlink()
    print(f"Successfully terminated enclave {one['EnclaveID']}.", file=sys.stderr)
    print(json.dumps({"EnclaveName": one["EnclaveName"], "EnclaveID": one["EnclaveID"], "Terminated": True}, indent=2))


def console(args):
    one = one_of(args)
    if one["Flags"] != "DEBUG_MODE":
        fail("E44", "The enclave was not started with the debug flag set", "cli")
    print(f"Connecting to the console for enclave {one['EnclaveCID']}...\nSuccessfully connected to the console.", flush=True)
    print((STATE / f"{one['EnclaveID']}.console").read_text(), end="", flush=True)
    while any(other["EnclaveID"] == one["EnclaveID"] for other in enclaves()):
        time.sleep(0.1)


def parse(words):
    line = argparse.ArgumentParser(prog="nitro-cli")
    verbs = line.add_subparsers(dest="command", required=True)
    run = verbs.add_parser("run-enclave")
    run.add_argument("--eif-path", required=True)
    run.add_argument("--memory", type=int, required=True)
    run.add_argument("--cpu-count", type=int, required=True)
    run.add_argument("--enclave-cid", type=int)
    run.add_argument("--enclave-name")
    run.add_argument("--debug-mode", action="store_true")
    verbs.add_parser("describe-enclaves")
    verbs.add_parser("terminate-enclave").add_argument("--enclave-id", required=True)
    verbs.add_parser("console").add_argument("--enclave-id", required=True)
    return line.parse_args(words)


def main():
    args = parse(sys.argv[1:])
    (STATE / "vsock").mkdir(parents=True, exist_ok=True)
    with open(STATE / "asked.jsonl", "a", encoding="utf-8") as asked:
        asked.write(json.dumps({"words": sys.argv[1:], "environment": dict(os.environ)}) + "\n")
    wanted = load("fail.json", {})
    if wanted.get("command") == args.command:
        fail(wanted["code"], wanted.get("cause", "the cause"), wanted.get("where", "process"))
    {"run-enclave": run_enclave, "describe-enclaves": describe_enclaves, "terminate-enclave": terminate_enclave,
     "console": console}[args.command](args)


if __name__ == "__main__":
    main()
