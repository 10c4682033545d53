"""Many jobs, at once and one after another: all right, and nothing left behind."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import lab as laboratory

AT_ONCE = 6 if laboratory.EVERYWHERE_BOOTED else 50  # one key at a time is made for them, translated in seconds
IN_A_ROW = int(os.environ.get("CLOISTER_MANY_JOBS", "60"))  # the long form, by hand: 1000
MEMORY_SLACK_KIB = 8 * 1024  # allocators keep some; a leak per job shows far above


def inventory(lab):
    """What a job could leave behind, counted: of the enclave as a whole, and of each of its processes."""
    processes = lab.enclave_processes()
    assert len(processes) >= 5, processes  # outermost, monitor, keeper, listener, share server
    counts = {"processes": len(processes), "host mounts": Path("/proc/mounts").read_text().count(str(lab.root))}
    for pid in processes:
        entry = Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):  # a launcher that ends meanwhile
            counts[f"descriptors of {pid}"] = len(list((entry / "fd").iterdir()))
            counts[f"mounts of {pid}"] = len((entry / "mountinfo").read_text().splitlines())
            counts[f"children of {pid}"] = len((entry / "task" / str(pid) / "children").read_text().split())
            counts[f"threads of {pid}"] = len(list((entry / "task").iterdir()))
    return counts


def quiet_inventory(lab):
    """Once nothing changes any more: a job's launcher ends a moment after the job."""
    while (now := inventory(lab)) != (time.sleep(0.3) or inventory(lab)):
        pass
    return now


def resident_kib(lab):
    total = 0
    for pid in lab.enclave_processes():
        total += int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))
    return total


def run_exit(lab, code, *options):
    return lab.run("user", "run", *options, "--", "probe.cloister", "exit.py", "exit", code)


@pytest.mark.timeout(240)
def test_fifty_jobs_at_once(lab, probe):
    results = {}

    def one(number):
        results[number] = run_exit(lab, number, "--output", f"job{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = {number: (done.returncode, done.stderr) for number, done in results.items() if done.returncode != number}
    assert not wrong and len(results) == AT_ONCE, wrong
    laboratory.wait_for(lambda: not lab.job_processes())


@pytest.mark.timeout(120 + 3 * IN_A_ROW)
def test_jobs_in_a_row_leave_nothing_behind(lab, probe):
    for _ in range(5):  # what is made once, is made
        assert run_exit(lab, 0).returncode == 0
    laboratory.wait_for(lambda: not lab.job_processes())
    before, memory = quiet_inventory(lab), resident_kib(lab)
    for number in range(IN_A_ROW):
        done = run_exit(lab, number % 3)
        assert done.returncode == number % 3, (number, done.stderr)

    def left():
        now = inventory(lab)
        # Less is no leak: the connection of the `sync` before ends after two idle minutes.
        return {what: (before.get(what, 0), count) for what, count in now.items() if count > before.get(what, 0)}

    with contextlib.suppress(AssertionError):
        laboratory.wait_for(lambda: not left(), seconds=30)
    assert left() == {}
    quiet_inventory(lab)
    assert resident_kib(lab) - memory < MEMORY_SLACK_KIB


def client_processes(lab, word):
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and
            command_of(entry)[:1] == [lab.cloister] and word in command_of(entry)]


def command_of(entry):
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []  # it ended meanwhile


@pytest.mark.timeout(60)
def test_a_client_that_dies_leaves_nothing_open(lab, probe):
    second = lab.sync("second")
    pumps = client_processes(lab, "second")
    assert pumps, "no process serves the second mount"
    quiet = quiet_inventory(lab)
    files = [second / "dataset" / f"file{number}" for number in range(300)]
    for file in files:
        file.write_text("x")
    held = [open(file, "rb") for file in files]
    assert sum(inventory(lab).values()) > sum(quiet.values()) + 250  # the server holds what the client knows
    for pid in pumps:
        os.kill(pid, signal.SIGKILL)
    for file in held:
        with contextlib.suppress(OSError):
            file.close()

    def freed():
        now = inventory(lab)
        return all(now.get(name, 0) <= count for name, count in quiet.items())

    laboratory.wait_for(freed, seconds=20)
    subprocess.run(["umount", "-l", str(second)], check=False)
    assert (probe / "dataset" / "file0").read_text() == "x"  # what was written is there, and the other mount lives
    assert lab.sync("second").joinpath("dataset", "file299").read_text() == "x"


@pytest.mark.timeout(90)
def test_enclaves_side_by_side(lab, probe):
    """Two enclaves of one image: each has its own folder, jobs and end."""
    lab.up("other")
    other = lab.sync("elsewhere", name="other")
    assert not (other / "encrypted" / "probe.cloister").exists()
    shutil.copy(probe / "encrypted" / "probe.cloister", other / "encrypted")
    both = [lab.start("user", "run", "--name", name, "--", "probe.cloister", "slow.py") for name in ("default", "other")]
    assert [process.stdout.readline() for process in both] == [b"started\n"] * 2
    lab.down("other")
    assert both[1].wait(timeout=20) == 125
    assert (probe / "output" / "started").read_text() == "yes" and both[0].poll() is None
    both[0].send_signal(signal.SIGTERM)
    assert both[0].wait(timeout=20) == 130
