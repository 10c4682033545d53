"""`cloister sync` and `unsync` as a user meets them, and the folder when one of its two ends dies."""

import contextlib
import errno
import hashlib
import json
import mmap
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lab as laboratory
import wire

FIRST_SHARE_USER = 1 << 20  # src/enclave/shares.h
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
NOBODY = 65534


@pytest.fixture(scope="module")
def lab(lab, repository):
    """An enclave with a folder that stays, and the victims as a package in it."""
    os.chmod(lab.root, 0o755)
    os.chmod(lab.root / "user", 0o755)
    lab.share_victims(repository)
    lab.home = lab.root / "user"
    return lab


@pytest.fixture
def place(lab, request):
    """A directory of this test's own; whatever is mounted there is gone afterwards."""
    name = re.sub("[^a-z]+", "-", request.node.name.removeprefix("test_"))
    yield lab.home / name
    if os.path.ismount(lab.home / name):
        lab.run("user", "unsync", "-d", name)


def mount_of(path):
    """The fields of its line in /proc/mounts, or None."""
    return next((line.split() for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(path)), None)


def mounts_in_status(lab):
    enclaves = json.loads(lab.ok("user", "status", "--json"))["enclaves"]
    return {mount["directory"]: mount for enclave in enclaves for mount in enclave["mounts"]}


def pump_of(lab, path):
    records = [json.loads(one.read_text()) for one in (lab.root / "run/default/mounts").glob("*.json")]
    return next(record["pid"] for record in records if record["directory"] == str(path))


def runs(pid):
    """A process that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- beginning ----------------------------------------------------------------------------------------------------


def test_one_line_and_the_folder_is_there(lab, place):
    done = lab.run("user", "sync", "-d", place.name)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (f"cloister: {place.name} is the shared folder of enclave 'default' now "
                           "(from_server.txt says what is where)\n")
    assert "dataset/" in (place / "from_server.txt").read_text()
    again = lab.run("user", "sync", "-d", place.name)
    assert again.returncode == 1
    assert again.stderr == f"cloister: {place.name} is a mount point already\nhint: run: cloister unsync -d {place.name}\n"
    done = lab.run("user", "unsync", "-d", place.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(place) == []


def test_what_cannot_be_a_folder_is_said_in_one_line(lab, place):
    place.mkdir()
    (place / "file").write_text("")
    here = place.name
    for directory, reason in ((here, "is not empty: the mount would hide what is in it"), (f"{here}/file", "is not a directory"),
                              (f"{here}/file/below", "Not a directory"), ("/proc/none/below", "No such file or directory")):
        done = lab.run("user", "sync", "-d", directory)
        line = done.stderr.splitlines()[0]
        assert (done.returncode, done.stdout) == (1, "") and line.startswith("cloister: ") and reason in line, done.stderr
        assert len(done.stderr.splitlines()) <= 2
    done = lab.run("user", "unsync", "-d", here)
    assert (done.returncode, done.stderr) == (1, f"cloister: {here} is not a synced folder\n")
    done = lab.run("user", "sync", "-d", here, "--name", "absent")
    assert done.returncode == 1 and done.stderr.startswith("cloister: no enclave named 'absent' is running\n")


def test_parents_that_are_missing_are_made(lab, place):
    lab.ok("user", "sync", "-d", f"{place.name}/deep/er")
    assert mount_of(place / "deep/er")
    lab.ok("user", "unsync", "-d", f"{place.name}/deep/er")


WRITES = {
    "create": lambda here: os.open(here / "new", os.O_CREAT | os.O_WRONLY),
    "write": lambda here: os.open(here / "from_server.txt", os.O_WRONLY),
    "truncate": lambda here: os.truncate(here / "from_server.txt", 0),
    "mkdir": lambda here: os.mkdir(here / "new"),
    "rmdir": lambda here: os.rmdir(here / "model"),
    "unlink": lambda here: os.unlink(here / "from_server.txt"),
    "rename": lambda here: os.rename(here / "model", here / "new"),
    "symlink": lambda here: os.symlink("model", here / "new"),
    "link": lambda here: os.link(here / "from_server.txt", here / "new"),
    "chmod": lambda here: os.chmod(here / "from_server.txt", 0o600),
    "chown": lambda here: os.chown(here / "from_server.txt", 1, 1),
    "utime": lambda here: os.utime(here / "from_server.txt"),
    "setxattr": lambda here: os.setxattr(here / "from_server.txt", "user.new", b"x"),
    "mknod": lambda here: os.mknod(here / "new"),
}


def test_read_only(lab, place):
    lab.ok("user", "sync", "-d", place.name, "--read-only")
    assert "ro" in mount_of(place)[3].split(",")
    before = sorted(os.listdir(lab.folder))
    for name, operation in WRITES.items():
        with pytest.raises(OSError) as refused:
            operation(place)
        assert refused.value.errno == errno.EROFS, name
    assert (place / "from_server.txt").read_text() and sorted(os.listdir(place)) == before


def test_other_users_look_inside_only_if_they_may(lab, place):
    look = ["/usr/bin/cat", place / "from_server.txt"]
    for words, expected in (([], 1), (["--allow-other"], 0)):
        lab.ok("user", "sync", "-d", place.name, *words)
        done = subprocess.run(look, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, timeout=20, check=False)
        assert done.returncode == expected, (words, done.stderr)
        lab.ok("user", "unsync", "-d", place.name)


def test_two_folders_of_one_client_are_one(lab, place):
    lab.sync(place.name)
    (place / "dataset/one").write_text("through the one")
    assert (lab.folder / "dataset/one").read_text() == "through the one"
    (lab.folder / "dataset/one").unlink()
    laboratory.wait_for(lambda: not (place / "dataset/one").exists())


def test_status_counts_what_each_folder_carried(lab, place):
    content = os.urandom(300_000)
    lab.sync(place.name)
    before = mounts_in_status(lab)
    (lab.folder / "dataset/counted").write_bytes(content)
    assert (place / "dataset/counted").read_bytes() == content
    after = mounts_in_status(lab)
    moved = {path.name: {what: after[str(path)][what] - before[str(path)][what] for what in after[str(path)] if what != "directory"}
             for path in (lab.folder, place)}
    assert (moved["shared"]["bytes_written"], moved["shared"]["bytes_read"]) == (len(content), 0)
    assert moved[place.name]["bytes_written"] == 0 and moved[place.name]["bytes_read"] >= len(content)
    assert moved["shared"]["requests"] >= 1 and moved[place.name]["requests"] >= 1
    assert f"{place}  " in lab.ok("user", "status") and "293.0 KiB" in lab.ok("user", "status")
    (lab.folder / "dataset/counted").unlink()


# --- ending -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["interrupt", "terminate", "umount", "unsync"])
def test_a_folder_in_the_foreground_ends_well(lab, place, way):
    process = lab.start("user", "sync", "-d", place.name, "--foreground")
    laboratory.wait_for(lambda: str(place) in mounts_in_status(lab))
    end = {"interrupt": lambda: laboratory.interrupt(process), "terminate": process.terminate,
           "umount": lambda: subprocess.run(["umount", place], check=True),
           "unsync": lambda: lab.ok("user", "unsync", "-d", place.name)}
    end[way]()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b"") and len(err.splitlines()) == 1, err
    assert mount_of(place) is None and str(place) not in mounts_in_status(lab)


def test_who_holds_a_file_does_not_keep_the_folder(lab, place):
    lab.sync(place.name)
    (place / "dataset/held").write_text("held")
    pump = pump_of(lab, place)
    shell = subprocess.Popen(["sleep", "60"], cwd=place / "dataset")
    held = os.open(place / "dataset/held", os.O_RDWR)
    memory = mmap.mmap(held, 4)
    memory[:4] = b"kept"
    lab.ok("user", "unsync", "-d", place.name)
    assert mount_of(place) is None and not runs(pump)
    with pytest.raises(OSError) as lost:
        os.fstat(held)
        os.pread(held, 4, 0)
    assert lost.value.errno in GONE
    memory.close()
    with pytest.raises(OSError) as lost:  # a close would end locks there, and says that it cannot
        os.close(held)
    assert lost.value.errno in GONE
    shell.kill()
    shell.wait()
    # What was dirty in its mapping was written before the folder went.
    laboratory.wait_for(lambda: (lab.folder / "dataset/held").read_bytes() == b"kept")
    (lab.folder / "dataset/held").unlink()


HOLDER = """
import os, sys, time
held = os.open(sys.argv[1], os.O_WRONLY)
print("open", flush=True)
for i in range(125):
    assert os.pwrite(held, b"x" * 8, 8 * i) == 8
    time.sleep(0.02)
print("done", flush=True)
os.close(held)
"""


def test_who_still_writes_when_the_folder_goes_may_finish(lab, place):
    lab.sync(place.name)
    (place / "dataset/written").write_bytes(b"")
    writer = subprocess.Popen([sys.executable, "-c", HOLDER, place / "dataset/written"], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "open\n"
    lab.ok("user", "unsync", "-d", place.name)
    assert mount_of(place) is None
    assert writer.communicate(timeout=30)[0] == "done\n"
    written = lab.folder / "dataset/written"
    assert written.read_bytes() == b"x" * 1000
    written.unlink()


def test_a_signal_that_means_nothing_does_not_keep_the_folder(lab, place):
    lab.sync(place.name)
    pump = pump_of(lab, place)
    for _ in range(3):
        os.kill(pump, signal.SIGUSR1)
    assert (place / "dataset").is_dir()
    lab.ok("user", "unsync", "-d", place.name)
    assert mount_of(place) is None and not runs(pump)


@pytest.mark.parametrize("way", ["umount", "unsync", "terminate"])
def test_dirty_pages_are_in_the_enclave_after_the_end(lab, place, way):
    lab.sync(place.name)
    content = os.urandom(3 << 20)
    with open(place / "dataset/dirty", "w+b") as file:
        file.truncate(len(content))
        with mmap.mmap(file.fileno(), len(content)) as memory:
            memory[:] = content
    if way == "umount":
        subprocess.run(["umount", place], check=True)
    elif way == "unsync":
        lab.ok("user", "unsync", "-d", place.name)
    else:
        os.kill(pump_of(lab, place), signal.SIGTERM)
        laboratory.wait_for(lambda: mount_of(place) is None)
    assert hashlib.sha256((lab.folder / "dataset/dirty").read_bytes()).digest() == hashlib.sha256(content).digest()
    (lab.folder / "dataset/dirty").unlink()


def test_a_job_sees_whole_files_right_after_cp(lab):
    sizes = [1, 4095, 4096, 4097, 65_537, 1_048_577, 3_000_001, 7_654_321, 20_000_000, 0]
    source = lab.root / "source"
    source.mkdir()
    for turn in range(3):
        expected = {}
        for number, size in enumerate(sizes):
            content = os.urandom(size)
            (source / f"{number}").write_bytes(content)
            expected[f"/dataset/{number}"] = [size, hashlib.sha256(content).hexdigest()]
        subprocess.run(["cp", *(source / str(number) for number in range(len(sizes))), lab.folder / "dataset"], check=True)
        done = lab.run("user", "run", "--", "probe.cloister", "hashes.py", *expected)
        assert done.returncode == 0 and json.loads(done.stdout) == expected, (turn, done.stderr)
    for number in range(len(sizes)):
        (lab.folder / f"dataset/{number}").unlink()


# --- one end dies -------------------------------------------------------------------------------------------------


def metrics(lab, identity):
    with wire.Wire(lab.socket_of("control"), identity) as one:
        lines = one.ask("GET", "/v1/metrics").body.decode().splitlines()
    names = ("cloister_share_inodes", "cloister_share_handles", "cloister_share_mounts", "cloister_share_lanes")
    return {line.split()[0]: int(line.split()[1]) for line in lines if line.startswith(names)}


def test_a_pump_that_is_killed_is_forgotten_and_replaced(lab, place):
    identity = wire.Identity(lab.root, "looker")
    before = metrics(lab, identity)
    assert set(before) == {"cloister_share_inodes", "cloister_share_handles", "cloister_share_mounts", "cloister_share_lanes"}
    lab.sync(place.name)
    held = [open(place / f"dataset/{number}", "w", encoding="ascii") for number in range(20)]
    during = metrics(lab, identity)
    assert during["cloister_share_handles"] >= before["cloister_share_handles"] + 20
    assert during["cloister_share_inodes"] >= before["cloister_share_inodes"] + 20
    assert during["cloister_share_mounts"] == before["cloister_share_mounts"] + 1
    os.kill(pump_of(lab, place), signal.SIGKILL)
    laboratory.wait_for(lambda: fails_with(place, GONE))
    for file in held:
        with contextlib.suppress(OSError):
            file.close()
    laboratory.wait_for(lambda: metrics(lab, identity) == before)
    lab.sync(place.name)
    assert len(os.listdir(place / "dataset")) >= 20
    for number in range(20):
        (place / f"dataset/{number}").unlink()


def fails_with(path, errors):
    try:
        os.statvfs(path)
    except OSError as error:
        return error.errno in errors
    return False


def share_servers(lab, name):
    return [pid for pid in lab.enclave_processes(name) if os.stat(f"/proc/{pid}").st_uid >= FIRST_SHARE_USER]


@pytest.mark.parametrize("victim", ["share server", "enclave", "down"])
def test_nobody_hangs_when_the_other_end_dies(lab, place, victim):
    lab.up("mortal")
    try:
        lab.sync(place.name, "mortal")
        (place / "dataset/large").write_bytes(bytes(8 << 20))
        servers = share_servers(lab, "mortal")
        assert len(servers) == 1
        os.kill(servers[0], signal.SIGSTOP)  # so that what is asked for now is outstanding when it dies
        waiting = start_waiting(place)
        if victim == "share server":
            os.kill(servers[0], signal.SIGKILL)
        elif victim == "enclave":
            os.kill(json.loads((lab.root / "run/mortal/enclave.json").read_text())["pid"], signal.SIGKILL)
        else:
            lab.ok("user", "down", "--force", "--name", "mortal")
        for one in waiting:
            one.wait(timeout=20)
            assert one.returncode > 0, one.args  # its own complaint, not a signal of ours
        laboratory.wait_for(lambda: mount_of(place) is None)
        assert os.listdir(place) == []
        if victim != "share server":
            lab.run("user", "down", "--force", "--name", "mortal")
            lab.ok("user", "up", "--name", "mortal", *lab.backend(), seconds=laboratory.UP_SECONDS)
        lab.sync(place.name, "mortal")
        assert (place / "from_server.txt").read_text()
        assert (place / "dataset/large").exists() == (victim == "share server")  # the share outlives its server
    finally:
        lab.run("user", "down", "--force", "--name", "mortal")
        lab.enclaves.remove("mortal")


def start_waiting(place):
    """Programs that ask a server which does not answer: cp, ls, and one that writes."""
    commands = (["cp", place / "dataset/large", "/dev/null"], ["ls", place / "output/none"],
                ["dd", "if=/dev/zero", f"of={place}/dataset/new", "bs=1M", "count=4"])
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    laboratory.wait_for(lambda: all(in_the_kernel(process.pid) for process in started))
    return started


def in_the_kernel(pid):
    """Whether it waits for the folder."""
    return "fuse" in Path(f"/proc/{pid}/stack").read_text()
