"""systemd's units for a folder that is always there: well formed, and their very ExecStart says when it is."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

import lab as laboratory

MANAGERS = ("system", "user")


@pytest.fixture(scope="module")
def units(binaries, tmp_path_factory):
    """What an installation puts where systemd looks: the text of each manager's unit."""
    prefix = tmp_path_factory.mktemp("prefix")
    done = subprocess.run(["cmake", "--install", binaries.build, "--prefix", prefix, "--component", "systemd"], capture_output=True,
                          text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return {manager: prefix / f"lib/systemd/{manager}/cloister-sync@.service" for manager in MANAGERS}


def value(unit, name):
    return re.search(f"^{name}=(.*)$", unit.read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("manager", MANAGERS)
def test_systemd_accepts_the_unit(units, binaries, tmp_path, manager):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIP: no systemd-analyze here")
    # As an instance, and with a program that is there: the prefix of this build may not be installed.
    unit = tmp_path / "cloister-sync@srv-shared.service"
    unit.write_text(re.sub(r"=\S+/cloister (?=sync|unsync)", f"={binaries['cloister']} ", units[manager].read_text()))
    done = subprocess.run(["systemd-analyze", "verify", f"--{manager}", "--man=no", "--recursive-errors=no", unit],
                          capture_output=True, text=True, timeout=50, check=False,
                          env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"})
    if "Failed to initialize manager" in done.stderr or "Failed to connect" in done.stderr:
        pytest.skip(f"SKIP: systemd-analyze cannot work here: {done.stderr.strip()}")
    assert done.returncode == 0 and "cloister-sync" not in done.stderr, done.stderr


@pytest.mark.parametrize("manager", MANAGERS)
def test_nothing_in_a_unit_hides_the_mount_or_disarms_fusermount(units, manager):
    text = units[manager].read_text()
    for name in ("PrivateMounts", "PrivateTmp", "PrivateDevices", "ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ReadOnlyPaths",
                 "DynamicUser", "RootDirectory"):
        assert not re.search(f"^{name}=", text, re.MULTILINE), name
    if manager == "user":
        for name in ("NoNewPrivileges", "SystemCallFilter", "RestrictAddressFamilies", "RestrictNamespaces", "MemoryDenyWriteExecute"):
            assert not re.search(f"^{name}=", text, re.MULTILINE), name
    assert value(units[manager], "Type") == "notify" and value(units[manager], "Restart") == "on-failure"


def command_of(unit, key, binaries, directory, options=""):
    """The words that systemd would start for this directory and these options of the configuration file."""
    line = value(unit, key).replace("%f", str(directory)).replace("$CLOISTER_SYNC_OPTIONS", options)
    words = shlex.split(line)
    return [str(binaries["cloister"]), *words[1:]]


class Manager:
    """What a service says about itself."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(name)

    def heard(self):
        return self.socket.recv(4096).decode().splitlines()


@pytest.mark.parametrize("manager, kind", [("system", "path"), ("user", "abstract")])
def test_exec_start_says_when_the_folder_is_there_and_exec_stop_ends_it(lab, units, binaries, manager, kind):
    name = f"{lab.root}/notify-{manager}" if kind == "path" else f"\0cloister-{os.getpid()}"
    service = Manager(name)
    folder = lab.root / "user" / f"always-{manager}"
    environment = lab.environment("user") | {"NOTIFY_SOCKET": name.replace("\0", "@")}
    start = command_of(units[manager], "ExecStart", binaries, folder, "--name served --read-only")
    # Without an enclave it fails, which is what Restart=on-failure waits for.
    early = subprocess.run(start, env=environment, cwd="/", capture_output=True, text=True, timeout=30, check=False)
    assert early.returncode == 1 and "no enclave named 'served' is running" in early.stderr
    lab.up("served")
    try:
        process = subprocess.Popen(start, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert service.heard() == ["READY=1", f"STATUS={folder} is the shared folder of enclave 'served'"]
        assert os.path.ismount(folder) and (folder / "from_server.txt").exists()
        stop = command_of(units[manager], "ExecStop", binaries, folder)
        subprocess.run(stop, env=environment, cwd="/", check=True, timeout=30)
        assert process.wait(timeout=20) == 0 and not os.path.ismount(folder)
        # The manager's own way, where ExecStop did nothing.
        process = subprocess.Popen(start, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert service.heard()[0] == "READY=1"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0 and not os.path.ismount(folder)
        # Its enclave ends: a failure, so that it is started anew.
        process = subprocess.Popen(start, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert service.heard()[0] == "READY=1"
        os.kill(next(pid for pid in lab.enclave_processes("served")), signal.SIGKILL)
        assert process.wait(timeout=20) == 1
        laboratory.wait_for(lambda: not os.path.ismount(folder))
    finally:
        lab.down("served")


def test_nobody_listening_is_no_failure(lab, binaries):
    lab.up("quiet")
    try:
        for name in ("/nonexistent/socket", "relative", "@" + "x" * 200, ""):
            process = subprocess.Popen([binaries["cloister"], "sync", "--foreground", "-d", "quiet", "--name", "quiet"],
                                       cwd=lab.root / "user", env=lab.environment("user") | {"NOTIFY_SOCKET": name},
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            laboratory.wait_for(lambda: os.path.ismount(lab.root / "user/quiet"))
            laboratory.interrupt(process)
            assert process.wait(timeout=20) == 0, name
    finally:
        lab.down("quiet")
