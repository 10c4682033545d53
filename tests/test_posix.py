"""The shared folder is a POSIX file system: random operations compared with a plain tmpfs, and the edges of what a file,
a directory and a mount can be. The long forms are in tests/soak."""

import errno
import mmap
import os
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

import lab as laboratory

pytestmark = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))

SHARE_MIB = 256
SEED = os.environ.get("CLOISTER_SEED", "0")  # 0: another one each time; every failure names it
GIB = 1 << 30
DESCRIPTORS = 1000  # of the share server, in one test


@pytest.fixture(scope="module")
def folder(lab):
    lab.up(share_mib=SHARE_MIB)
    return lab.sync("shared")


@pytest.fixture
def place(folder, request):
    """An empty directory of the folder."""
    made = folder / request.node.name.replace("/", "-")
    made.mkdir()
    yield made
    subprocess.run(["rm", "-rf", made], check=True, timeout=50)


@pytest.fixture
def reference():
    """An empty directory of a plain tmpfs."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("SKIP: /dev/shm, to compare with, is not mounted")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


def inodes_in_use(folder):
    info = os.statvfs(folder)
    return info.f_files - info.f_ffree


def prove(program, seconds=58, **options):
    """Runs one of the programs of tests/posix, which ends with 0 if all was right."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run([program, *words], capture_output=True, text=True, errors="replace", timeout=seconds * laboratory.SLOWER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- at random ----------------------------------------------------------------------------------------------------


def test_like_a_tmpfs(binaries, place, reference):
    prove(binaries["folder_model"], folder=place, reference=reference, seed=SEED, operations=20_000, processes=3)


@pytest.mark.parametrize("base", [0, 5 * GIB])
def test_one_file(binaries, place, base):
    prove(binaries["one_file"], file=place / "file", seed=SEED, operations=25_000, base=base)


def test_a_tree_that_many_change(lab, binaries, folder, place):
    before = inodes_in_use(folder)
    prove(binaries["tree_stress"], folder=place, seed=SEED, operations=12_000, processes=4)
    # What the client's kernel remembers of the tree must not hide what it has become: another mount sees the same.
    other = lab.sync("other")
    try:
        prove(binaries["tree_stress"], folder=other / place.name, check_only=1)
    finally:
        lab.ok("user", "unsync", "-d", other)
    subprocess.run(f"rm -rf {place}/*", shell=True, check=True, timeout=50)
    laboratory.wait_for(lambda: inodes_in_use(folder) == before)  # removed files end once the kernel has let go


# --- edges --------------------------------------------------------------------------------------------------------


def fill_list_and_empty(place, count):
    """So many entries in one directory: each is listed exactly once, also while others are removed."""
    names = {f"file-{number:06}" for number in range(count)}
    for name in names:
        os.close(os.open(place / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    listed = [entry.name for entry in os.scandir(place)]
    assert len(listed) == len(names) and set(listed) == names
    going, staying = sorted(names)[::2], set(sorted(names)[1::2])
    remover = threading.Thread(target=lambda: [os.unlink(place / name) for name in going])
    remover.start()
    while remover.is_alive():
        seen = [entry.name for entry in os.scandir(place)]
        assert len(seen) == len(set(seen)), "a name was listed twice"
        assert staying <= set(seen) <= names, "a name that stays was not listed"
        remover.join(0.1)
    assert set(os.listdir(place)) == staying
    for name in staying:
        os.unlink(place / name)
    assert os.listdir(place) == []


def test_a_large_directory(place):
    fill_list_and_empty(place, 10_000)


@pytest.mark.processes("a limit on descriptors reaches no machine")
def test_more_files_than_descriptors(lab):
    """The server holds a descriptor per inode that the client's kernel remembers; neither may run out."""
    tight = lab.root / "tight"
    tight.write_text(f'#!/bin/sh\nexec prlimit --nofile={DESCRIPTORS} {lab.cloister} "$@"\n')
    tight.chmod(0o755)
    lab.up("tight", program=tight, share_mib=64)
    folder = lab.sync("tight-folder", name="tight")
    try:
        for number in range(2 * DESCRIPTORS):
            (folder / f"dataset/{number}").write_text(f"{number}\n")
        with open(folder / "dataset/1") as kept:
            listed = subprocess.run(["ls", "-l", folder / "dataset"], check=True, capture_output=True, timeout=50).stdout
            assert len(listed.splitlines()) == 2 * DESCRIPTORS + 1
            assert kept.read() == "1\n"
        for number in range(2 * DESCRIPTORS):
            assert (folder / f"dataset/{number}").read_text() == f"{number}\n"
        subprocess.run(["rm", "-r", folder / "dataset"], check=True, timeout=50)
    finally:
        lab.down("tight")


def test_a_sparse_file_of_five_gibibytes(folder, place):
    free = os.statvfs(folder).f_bfree
    path = place / "sparse"
    with open(path, "wb") as file:
        file.write(b"begin")
        file.seek(5 * GIB)
        file.write(b"end")
    info = path.stat()
    assert info.st_size == 5 * GIB + 3 and info.st_blocks * 512 <= 16 * 1024
    assert free - os.statvfs(folder).f_bfree <= 4
    with open(path, "rb") as file:
        assert file.read(5) == b"begin"
        assert os.lseek(file.fileno(), 4096, os.SEEK_DATA) == 5 * GIB
        assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 4096
        assert os.pread(file.fileno(), 100, 5 * GIB - 2) == b"\0\0end"
        assert os.pread(file.fileno(), 4096, 4 * GIB - 100) == bytes(4096)


def test_direct_io(place):
    path = place / "direct"
    page = mmap.mmap(-1, 8192)  # aligned, as O_DIRECT may want it
    page.write(os.urandom(8192))
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    try:
        assert os.pwrite(fd, page, 4096) == 8192
        assert path.read_bytes() == bytes(4096) + page[:]
        path.write_bytes(b"x" * 8192)  # through the page cache, on the same inode
        assert os.preadv(fd, [page], 0) == 8192 and page[:] == b"x" * 8192
    finally:
        os.close(fd)


def test_a_file_outlives_its_name(folder, place):
    before = inodes_in_use(folder)
    path = place / "file"
    with open(path, "w+b") as file:
        file.write(b"a" * 100_000)
        file.flush()
        path.unlink()
        assert os.fstat(file.fileno()).st_nlink == 0
        assert inodes_in_use(folder) == before + 1
        file.seek(0)
        assert file.read() == b"a" * 100_000
        file.truncate(10)
        assert os.fstat(file.fileno()).st_size == 10
    laboratory.wait_for(lambda: inodes_in_use(folder) == before)


def test_a_file_outlives_one_renamed_over_it(place):
    (place / "new").write_text("new")
    (place / "old").write_text("old")
    with open(place / "old") as file, open(place / "new") as moving:
        os.rename(place / "new", place / "old")
        assert file.read() == "old" and os.fstat(file.fileno()).st_nlink == 0
        assert moving.read() == "new" and os.fstat(moving.fileno()).st_nlink == 1
    assert (place / "old").read_text() == "new" and not (place / "new").exists()


def test_what_df_counts(lab, folder, place):
    before = os.statvfs(folder)
    assert lab.image or before.f_blocks * before.f_frsize == SHARE_MIB << 20
    for number in range(10):
        (place / str(number)).write_bytes(bytes([number]) * 50_000)
    os.link(place / "0", place / "again")
    after = os.statvfs(folder)
    assert before.f_ffree - after.f_ffree == 10 + 1  # a tmpfs counts names of a file past its first, too
    assert (before.f_bfree - after.f_bfree) * after.f_frsize == 10 * 13 * 4096
    assert after.f_namemax == 255


def test_names(place):
    longest = [b"x" * 255, bytes(range(128, 255)) + b"\x01\n\t *", "ß".encode() * 127]
    for name in longest:
        with open(os.fsencode(place) + b"/" + name, "wb") as file:
            file.write(name)
    assert sorted(os.listdir(os.fsencode(place))) == sorted(longest)
    for call in (os.mkdir, os.stat, os.unlink, os.rmdir):
        with pytest.raises(OSError) as caught:
            call(os.fsencode(place) + b"/" + b"x" * 256)
        assert caught.value.errno == errno.ENAMETOOLONG
