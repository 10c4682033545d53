"""The long forms of tests/test_posix.py: the same programs for hours' worth of operations. One test each, by name."""

import os
import subprocess
import time

import pytest

import lab as laboratory
from test_posix import GIB, fill_list_and_empty, inodes_in_use, place, prove, reference  # noqa: F401 (fixtures)

OPERATIONS = int(os.environ.get("CLOISTER_OPERATIONS", "1000000"))
ENTRIES = 100_000
ROUND = 50_000  # operations
SEED = os.environ.get("CLOISTER_SEED", "0")  # 0: another one each time
SECONDS = 7200

pytestmark = [
    pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not())),
    pytest.mark.timeout(SECONDS),
]


@pytest.fixture(scope="module")
def folder(lab):
    lab.up(share_mib=2048)
    return lab.sync("shared")


@pytest.fixture
def proved(capsys):
    """Runs a program, and shows what it said and how long it took."""

    def run(program, **options):
        began = time.monotonic()
        said = prove(program, seconds=SECONDS, seed=SEED, operations=OPERATIONS, **options)
        with capsys.disabled():
            print(f"\n{said.strip()}\n{time.monotonic() - began:.0f} s")

    return run


def test_like_a_tmpfs(binaries, place, reference, proved):  # noqa: F811
    proved(binaries["folder_model"], folder=place, reference=reference, processes=4, compare=5000)


@pytest.mark.parametrize("base", [0, 5 * GIB])
def test_one_file(binaries, place, proved, base):  # noqa: F811
    proved(binaries["one_file"], file=place / "file", base=base)


def test_a_tree_that_many_change(binaries, folder, place, capsys):  # noqa: F811
    """In rounds: a tree that only grows would have more directories than the server has descriptors for, which are not let go of."""
    before = inodes_in_use(folder)
    for _ in range(max(1, OPERATIONS // ROUND)):
        said = prove(binaries["tree_stress"], seconds=SECONDS, seed=SEED, operations=ROUND, folder=place, processes=8)
        with capsys.disabled():
            print(f"\n{said.strip()}")
        for entry in os.listdir(place):
            subprocess.run(["rm", "-rf", place / entry], check=True, timeout=600)
        laboratory.wait_for(lambda: inodes_in_use(folder) == before)


def test_a_large_directory(place, capsys):  # noqa: F811
    began = time.monotonic()
    fill_list_and_empty(place, ENTRIES)
    with capsys.disabled():
        print(f"\n{ENTRIES} entries made, listed and removed: {time.monotonic() - began:.0f} s")
