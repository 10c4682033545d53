"""sync --exclusive: the user's kernel holds back what is written, jobs still see all of it, and nobody else is let in."""

import hashlib
import json
import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def folder(lab, repository):
    lab.up()
    lab.ok("user", "sync", "-d", "shared", "--exclusive")
    folder = lab.root / "user/shared"
    lab.publish(repository / "tests/victims", folder, "probe")
    return folder


def run(lab, *orders):
    """Runs coherence.py on orders that are all there when it starts; its answers."""
    lines = "".join(json.dumps(order) + "\n" for order in [*orders, ["end"]])
    (lab.root / "user/shared/dataset/orders").write_text(lines)
    lab.ok("user", "run", "probe.cloister", "coherence.py")
    return [json.loads(line) for line in (lab.root / "user/shared/output/answers").read_text().splitlines()]


def requests_of(lab):
    (enclave,) = json.loads(lab.ok("user", "status", "--json"))["enclaves"]
    (mount,) = enclave["mounts"]
    return mount["requests"]


def test_writes_are_held_back(lab, folder):
    """A thousand small writes are a few requests; without the cache they are a thousand."""
    before = requests_of(lab)
    with open(folder / "dataset/small", "wb", buffering=0) as out:
        for number in range(1000):
            out.write(b"%09d\n" % number)
    assert requests_of(lab) - before < 500
    assert (folder / "dataset/small").stat().st_size == 10_000


def test_a_job_sees_what_was_just_written(lab, folder):
    for number in range(5):
        content = os.urandom(300_001 * number + 1)
        with open(folder / "dataset/item", "wb") as out:  # held open: its close writes nothing back
            out.write(content)
            out.flush()
            assert run(lab, ["digest", "item"]) == [hashlib.sha256(content).hexdigest()]


def test_what_a_job_changed_in_files_that_nobody_has_open_shows_at_once(lab, folder):
    out = folder / "output"
    (out / "kept").write_text("the user's")
    (out / "gone").write_text("x")
    assert not (out / "fresh").exists()
    run(lab, ["write", "kept", "the job's, and longer"], ["write", "fresh", "f"], ["unlink", "gone"])
    assert (out / "kept").stat().st_size == 21
    assert (out / "kept").read_text() == "the job's, and longer"
    assert (out / "fresh").read_text() == "f" and not (out / "gone").exists()
    assert sorted(os.listdir(out)) == ["answers", "fresh", "kept"]


def test_programs_of_this_machine_exclude_each_other(folder):
    script = "flock -n {0}/dataset/lock true; echo $?; flock -n {0}/dataset/lock flock -n {0}/dataset/lock true; echo $?"
    done = subprocess.run(["sh", "-c", script.format(folder)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", "1"]


def test_an_append_lands_at_the_end(folder):
    path = folder / "dataset/log"
    path.unlink(missing_ok=True)
    with open(path, "ab", buffering=0) as one, open(path, "ab", buffering=0) as other:
        for _ in range(50):
            one.write(b"A")
            other.write(b"B")
    assert path.read_bytes() == b"AB" * 50


def test_nobody_else_is_let_in(lab, folder):
    for words in (["sync", "-d", "second"], ["sync", "-d", "second", "--exclusive"]):
        done = lab.run("user", *words)
        assert done.returncode == 1
        assert done.stderr.splitlines()[0] == "cloister: another mount has this folder to itself (--exclusive)", done.stderr
    assert os.listdir(lab.root / "user/second") == []


def test_unmounting_writes_everything_back(lab, folder):
    content = os.urandom(3_000_000)
    (folder / "dataset/last").write_bytes(content)
    lab.ok("user", "unsync", "-d", "shared")
    other = lab.sync("other")
    assert (other / "dataset/last").read_bytes() == content
    done = lab.run("user", "sync", "-d", "shared", "--exclusive")
    assert done.returncode == 1
    assert "mounted already, and --exclusive is for its only mount" in done.stderr
    lab.ok("user", "unsync", "-d", "other")
    lab.ok("user", "sync", "-d", "shared", "--exclusive")
    assert (folder / "dataset/last").read_bytes() == content
