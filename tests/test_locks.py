"""Locks of files are known to every mount of a folder and to jobs, waiting for them can be interrupted, and a client that
dies leaves none."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time

import pytest

import lab as laboratory

HOLD = """
import fcntl, sys, time
held = open(sys.argv[1], "r+")
{lock}
print("held", flush=True)
sys.stdin.readline()
"""
POSIX, BSD = "fcntl.lockf(held, fcntl.LOCK_EX, 10, 5)", "fcntl.flock(held, fcntl.LOCK_EX)"
OFD_SETLK = 37


@pytest.fixture(scope="module")
def folder(probe):
    return probe


@pytest.fixture
def file(folder, second, request):
    """A name of its own for each test: for a second a mount may still take an old name for the file that it was."""
    name = f"dataset/{abs(hash(request.node.name))}"
    (folder / name).write_text("x" * 100)
    laboratory.wait_for(lambda: (second / name).exists())
    yield name
    (folder / name).unlink()


def hold(path, lock):
    holder = subprocess.Popen([sys.executable, "-c", HOLD.format(lock=lock), str(path)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    return holder


def release(holder):
    holder.stdin.close()
    assert holder.wait(timeout=20) == 0


@pytest.mark.parametrize("lock", [POSIX, BSD])
def test_another_mount_meets_a_lock_and_gets_it_afterwards(folder, second, file, lock):
    holder = hold(folder / file, lock)
    with open(second / file, "r+") as mine:
        take = (lambda how: fcntl.lockf(mine, how, 10, 5)) if lock == POSIX else (lambda how: fcntl.flock(mine, how))
        with pytest.raises(BlockingIOError):
            take(fcntl.LOCK_SH | fcntl.LOCK_NB)
        if lock == POSIX:
            fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 100)  # other bytes
        waiting = hold_later(second / file, lock)
        time.sleep(0.2)
        assert waiting.poll() is None
        release(holder)
        assert waiting.stdout.readline() == b"held\n"
        release(waiting)
        take(fcntl.LOCK_EX | fcntl.LOCK_NB)


def hold_later(path, lock):
    return subprocess.Popen([sys.executable, "-c", HOLD.format(lock=lock), str(path)], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)


@pytest.mark.parametrize("lock", [POSIX, BSD])
def test_waiting_can_be_interrupted(folder, second, file, lock):
    holder = hold(folder / file, lock)
    for path in (second / file, folder / file):
        for number in (signal.SIGINT, signal.SIGKILL):
            waiting = hold_later(path, lock)
            time.sleep(0.3)
            assert waiting.poll() is None
            waiting.send_signal(number)
            assert waiting.wait(timeout=10) != 0
    release(holder)
    with open(second / file, "r+") as mine:
        fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_holds_a_lock_is_told_within_a_mount(folder, second, file):
    holder = hold(folder / file, POSIX)
    query = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    for path, pid in ((folder / file, holder.pid), (second / file, 0)):
        with open(path, "r+") as mine:
            kind, _, start, length, who = struct.unpack("hhqqi4x", fcntl.fcntl(mine, fcntl.F_GETLK, query))
        assert (kind, start, length, who) == (fcntl.F_WRLCK, 5, 10, pid)
    release(holder)


def test_any_close_ends_a_programs_posix_locks(folder, second, file):
    with open(folder / file, "r+") as mine, open(second / file, "r+") as theirs:
        fcntl.lockf(mine, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.lockf(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        open(folder / file).close()
        fcntl.lockf(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_who_closes_a_file_and_locks_it_again_does_not_meet_himself(folder, file):
    for _ in range(300):
        with open(folder / file, "r+") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_of_an_open_file_ends_with_its_last_close(folder, second, file):
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    mine, theirs = open(folder / file, "r+"), open(second / file, "r+")
    fcntl.fcntl(mine, OFD_SETLK, whole)
    with pytest.raises(BlockingIOError):
        fcntl.fcntl(theirs, OFD_SETLK, whole)
    copy = os.dup(mine.fileno())
    mine.close()
    with pytest.raises(BlockingIOError):
        fcntl.fcntl(theirs, OFD_SETLK, whole)
    os.close(copy)

    def taken():
        try:
            fcntl.fcntl(theirs, OFD_SETLK, whole)
            return True
        except BlockingIOError:
            return False
    laboratory.wait_for(taken)  # its kernel tells of the close when it comes to it
    theirs.close()


def test_a_database_on_two_mounts_loses_nothing(folder, second):
    """SQLite takes its locks by fcntl(2): two writers that did not see each other would corrupt the file."""
    script = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=40)
db.execute("pragma mmap_size=0")
for n in range(40):
    with db: db.execute("insert into t select ?, count(*) from t", (sys.argv[2],))
"""
    import sqlite3
    with sqlite3.connect(folder / "dataset/data.db") as db:
        db.execute("create table t (who text, seen integer)")
    db.close()
    writers = [subprocess.Popen([sys.executable, "-c", script, str(side / "dataset/data.db"), str(number)])
               for number, side in enumerate((folder, second, folder))]
    assert [writer.wait(timeout=50) for writer in writers] == [0, 0, 0]
    db = sqlite3.connect(folder / "dataset/data.db")
    assert [row[0] for row in db.execute("select seen from t order by rowid")] == list(range(120))
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()
    (folder / "dataset/data.db").unlink()


def test_a_client_that_dies_leaves_no_lock(lab, folder, file):
    third = lab.sync("third")
    laboratory.wait_for(lambda: (third / file).exists())
    holders = [hold(third / file, lock) for lock in (POSIX, BSD)]
    pids = {mount["directory"]: mount["pid"] for mount in mounts(lab)}
    with open(folder / file, "r+") as mine:
        with pytest.raises(BlockingIOError):
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pids[str(third)], signal.SIGKILL)

        def taken():
            try:
                fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                return False
        laboratory.wait_for(taken)
    for holder in holders:
        holder.kill()
        holder.wait()
    lab.run("user", "unsync", "-d", "third")


def mounts(lab):
    return [json.loads(path.read_text()) for path in (lab.root / "run").rglob("mounts/*.json")]
