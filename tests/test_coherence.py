"""What the user wrote a job sees, what a job wrote the user sees: while it runs within moments, and at once when it has
ended; through every cache that the user's kernel has. And the same between two mounts of one user."""

import hashlib
import json
import mmap
import os
import random
import time

import pytest

import lab as laboratory

SOON = 10  # seconds that a busy machine may need for what takes one at most; the README's figure is measured, not this


@pytest.fixture(scope="module")
def folder(probe):
    return probe


class Job:
    """A job that does as it is told, on its side of the folder."""

    def __init__(self, lab, folder):
        self.folder = folder
        self.answered = 0
        self.orders = folder / "dataset/orders"
        self.orders.write_text("")
        (folder / "output/answers").unlink(missing_ok=True)  # those of an earlier job would be taken for this one's
        self.process = lab.start("user", "run", "probe.cloister", "coherence.py")
        assert self.process.stdout.readline() == b"ready\n", self.process.stderr.read()

    def tell(self, *order):
        """Gives an order and waits until it is done; not until its effect shows here."""
        with open(self.orders, "a", encoding="utf-8") as orders:
            orders.write(json.dumps(order) + "\n")
        self.answered += 1
        answers = self.folder / "output/answers"
        laboratory.wait_for(lambda: answers.exists() and answers.read_text().count("\n") >= self.answered, SOON)
        return json.loads(answers.read_text().splitlines()[self.answered - 1])

    def end(self, *last):
        """Has it do something last; returns when `run` has, at once."""
        with open(self.orders, "a", encoding="utf-8") as orders:
            for order in [*last, ["end"]]:
                orders.write(json.dumps(order) + "\n")
        assert self.process.wait(timeout=30) == 0, self.process.stderr.read()


@pytest.fixture
def job(lab, folder):
    made = Job(lab, folder)
    yield made
    if made.process.poll() is None:
        made.process.terminate()
        made.process.wait()


def soon(condition):
    laboratory.wait_for(condition, SOON)


# --- from the job to the user, while it runs ----------------------------------------------------------------------


def test_names_sizes_and_contents_show_while_the_job_runs(folder, job):
    out = folder / "output"
    assert not (out / "new").exists()  # would be remembered as absent by a cache of such names
    job.tell("write", "new", "one")
    soon(lambda: (out / "new").exists() and (out / "new").read_text() == "one")
    job.tell("append", "new", " and two")
    soon(lambda: (out / "new").read_text() == "one and two" and (out / "new").stat().st_size == 11)
    job.tell("truncate", "new", 3)
    soon(lambda: (out / "new").stat().st_size == 3)
    job.tell("chmod", "new", 0o600)
    soon(lambda: (out / "new").stat().st_mode & 0o777 == 0o600)
    job.tell("rename", "new", "renamed")
    soon(lambda: not (out / "new").exists() and (out / "renamed").read_text() == "one")
    job.tell("mkdir", "directory")
    soon(lambda: (out / "directory").is_dir() and "directory" in os.listdir(out))
    job.tell("unlink", "renamed")
    soon(lambda: "renamed" not in os.listdir(out))
    job.end()
    (out / "directory").rmdir()


def test_open_and_mapped_files_show_the_jobs_changes_while_it_runs(folder, job):
    out = folder / "output"
    job.tell("write", "open", "0" * 8192)
    with open(out / "open", "rb") as held, mmap.mmap(held.fileno(), 8192, prot=mmap.PROT_READ) as view:
        assert view[0:1] == b"0" and view[5000:5001] == b"0"
        job.tell("write", "open", "1" * 8192)
        soon(lambda: view[0:1] == b"1" and view[5000:5001] == b"1")
        soon(lambda: os.pread(held.fileno(), 1, 4096) == b"1")
    job.end()
    (out / "open").unlink()


def test_stores_into_a_mapping_show_although_they_leave_no_trace_in_the_times(folder, job):
    """A store to a page that is mapped already changes neither time nor size: only the file's being mapped tells."""
    out = folder / "output"
    job.tell("map", "mapped", 4096)
    job.tell("store", "mapped", 0, "first")
    soon(lambda: (out / "mapped").read_bytes()[:5] == b"first")
    before = (out / "mapped").stat()
    time.sleep(0.1)  # past the grain of the times
    job.tell("store", "mapped", 0, "other")
    assert (out / "mapped").stat().st_mtime_ns == before.st_mtime_ns  # else this tests nothing
    soon(lambda: (out / "mapped").read_bytes()[:5] == b"other")
    with open(out / "mapped", "rb") as held, mmap.mmap(held.fileno(), 4096, prot=mmap.PROT_READ) as view:
        assert view[:5] == b"other"
        job.end(["store", "mapped", 0, "ended"])
        assert view[:5] == b"ended"  # at once
    assert (out / "mapped").read_bytes()[:5] == b"ended"
    (out / "mapped").unlink()


def test_a_mapping_that_leaves_no_trace_at_all_is_seen_too(folder, job):
    path = folder / "output/state"
    path.write_text("before")
    assert job.tell("look_first", "state") == "before"
    assert path.read_text() == "before"
    times = path.stat()
    job.tell("store", "state", 0, "during")
    soon(lambda: path.read_text() == "during")
    job.end(["store", "state", 0, "ended!"])
    assert path.read_text() == "ended!"
    assert (path.stat().st_mtime_ns, path.stat().st_ctime_ns) == (times.st_mtime_ns, times.st_ctime_ns)  # else this tests nothing
    path.unlink()


# --- from the job to the user, when it has ended ------------------------------------------------------------------


def test_everything_shows_at_once_when_run_returns(folder, job):
    out = folder / "output"
    job.tell("write", "kept", "old" * 3000)
    job.tell("write", "gone", "x")
    job.tell("write", "moved", "m")
    for name in ("kept", "gone", "moved"):
        soon(lambda name=name: (out / name).exists())
    with open(out / "kept", "rb") as held, mmap.mmap(held.fileno(), 9000, prot=mmap.PROT_READ) as view:
        assert view[:3] == b"old" and held.read() == b"old" * 3000 and not (out / "fresh").exists()
        job.end(["write", "kept", "new" * 3001], ["unlink", "gone"], ["rename", "moved", "there"], ["write", "fresh", "f"])
        # Each looked at once, and first, so that nothing has been refreshed by looking at something else.
        assert view[:3] == b"new"
        assert os.fstat(held.fileno()).st_size == 9003
        assert os.pread(held.fileno(), 9003, 0) == b"new" * 3001
    assert (out / "fresh").read_text() == "f"
    assert not (out / "gone").exists() and not (out / "moved").exists() and (out / "there").read_text() == "m"
    assert {"fresh", "kept", "there"} <= set(os.listdir(out)) and "gone" not in os.listdir(out)
    for name in ("fresh", "kept", "there"):
        (out / name).unlink()


# --- from the user to the job -------------------------------------------------------------------------------------


def test_what_was_written_and_closed_a_running_job_sees(folder, job):
    data = folder / "dataset"
    for number in range(40):
        content = os.urandom(random.randrange(1, 300_000))
        path = data / f"item{number % 4}"
        if number % 3 == 0:
            path.unlink(missing_ok=True)
        path.write_bytes(content)
        assert job.tell("digest", path.name) == hashlib.sha256(content).hexdigest(), number
    os.rename(data / "item0", data / "renamed")
    assert job.tell("names") == sorted(os.listdir(data))
    job.end()
    for name in ("renamed", "item1", "item2", "item3"):
        (data / name).unlink()


def test_a_mapping_that_is_still_dirty_is_written_back_before_a_job_starts(lab, folder):
    path = folder / "dataset/mapped"
    path.write_bytes(bytes(8192))
    with open(path, "r+b") as held, mmap.mmap(held.fileno(), 8192) as view:
        view[5000:5005] = b"dirty"
        job = Job(lab, folder)
        assert job.tell("digest", "mapped") == hashlib.sha256(bytes(5000) + b"dirty" + bytes(3187)).hexdigest()
        job.end()
    path.unlink()


# --- two mounts ---------------------------------------------------------------------------------------------------


def test_two_mounts_are_coherent(folder, second):
    """Random writes, renames and removals on either side, each closed; the other side has them within moments."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    dice = random.Random(seed)
    sides = [folder / "dataset", second / "dataset"]
    held = {}
    for step in range(60):
        here, there = dice.sample(sides, 2)
        name = f"f{dice.randrange(3)}"
        content = dice.randbytes(dice.randrange(1, 20_000))
        if dice.random() < 0.2 and (here / name).exists():
            os.rename(here / name, here / "other")
            soon(lambda: not (there / name).exists())  # until then the name leads there to the file it was
            name = "other"
            content = (here / name).read_bytes()
        else:
            (here / name).write_bytes(content)
        soon(lambda: (there / name).exists() and (there / name).stat().st_size == len(content))
        soon(lambda: (there / name).read_bytes() == content)
        if name not in held:
            held[name] = open(there / name, "rb")
    for each in held.values():
        each.close()
    for name in os.listdir(folder / "dataset"):
        if name != "orders":
            (folder / "dataset" / name).unlink()
    soon(lambda: set(os.listdir(second / "dataset")) <= {"orders"})


def test_a_mapped_file_follows_the_other_mount(folder, second):
    (folder / "dataset/shared").write_bytes(b"a" * 8192)
    with open(second / "dataset/shared", "rb") as held, mmap.mmap(held.fileno(), 8192, prot=mmap.PROT_READ) as view:
        assert view[4096:4097] == b"a"
        (folder / "dataset/shared").write_bytes(b"b" * 8192)
        soon(lambda: view[4096:4097] == b"b")
    (folder / "dataset/shared").unlink()
