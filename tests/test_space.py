"""How much fits into shared folders: a full one is an error of the write, for one client and for all together."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

import lab as laboratory
import wire

pytestmark = pytest.mark.processes("--share-mib and --share-budget-mib are theirs")

MIB = 1 << 20
QUOTA_MIB, BUDGET_MIB = 16, 40
FILES = QUOTA_MIB * MIB // 4096  # a share's files are limited by its quota (src/enclave/share_budget.cc)


@pytest.fixture(scope="module")
def lab(lab):
    """Three clients' folders in one enclave, whose quotas are more than the enclave has for them together."""
    lab.up(share_mib=QUOTA_MIB, budget_mib=BUDGET_MIB)
    lab.folders = {who: lab.sync("shared", who=who) for who in ("user", "owner", "stranger")}
    return lab


@pytest.fixture
def folder(lab):
    """The folder of a client, with nothing of other tests in it."""
    yield lab.folders["user"]
    for path in (lab.folders["user"] / "dataset").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def fill(path, most=QUOTA_MIB * 2):
    """Appends until it is refused: the MiB that fitted."""
    done = 0
    with open(path, "wb", buffering=0) as file:
        try:
            while done < most:
                done += file.write(bytes(MIB)) / MIB
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return done


def free_mib(folder):
    info = os.statvfs(folder)
    assert info.f_bavail == info.f_bfree
    return info.f_bavail * info.f_frsize / MIB


def settled(condition):
    """The limits follow what all folders hold within a moment (kBalanceInterval)."""
    laboratory.wait_for(condition, seconds=10)


# --- one folder ---------------------------------------------------------------------------------------------------


def test_df_shows_the_quota(folder):
    settled(lambda: free_mib(folder) > QUOTA_MIB - 1)
    info = os.statvfs(folder)
    assert info.f_blocks * info.f_frsize == QUOTA_MIB * MIB and info.f_files == FILES
    shown = subprocess.run(["df", "-m", "--output=size,itotal,fstype", folder], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[1].split() == [str(QUOTA_MIB), str(FILES), "fuse.cloister"]
    before = info.f_ffree
    (folder / "dataset/five").write_bytes(bytes(5 * MIB))
    info = os.statvfs(folder)
    assert free_mib(folder) <= QUOTA_MIB - 5 and info.f_ffree == before - 1


def test_a_folder_full_by_writing_is_free_at_once_when_something_is_removed(folder):
    for _ in range(20):  # the kernel lets go of a removed file a moment after unlink(2): the next write must not see that
        assert QUOTA_MIB - 1 <= fill(folder / "dataset/full") <= QUOTA_MIB
        with pytest.raises(OSError) as refused:
            (folder / "dataset/more").write_bytes(bytes(MIB))
        assert refused.value.errno == errno.ENOSPC
        (folder / "dataset/full").unlink()
        (folder / "dataset/more").write_bytes(bytes(2 * MIB))
        (folder / "dataset/more").unlink()


THROUGH_A_MAPPING = f"""
import errno, mmap, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(file, {2 * QUOTA_MIB * MIB})
memory = mmap.mmap(file, {2 * QUOTA_MIB * MIB})
told = False
for at in range(0, len(memory), 4096):
    memory[at] = 1
for ask in (memory.flush, lambda: os.fsync(file), lambda: os.close(file)):
    try:
        ask()
    except OSError as error:
        told = told or error.errno == errno.ENOSPC
sys.exit(0 if told else 3)
"""


def test_a_mapping_that_does_not_fit_is_told(folder):
    done = subprocess.run([sys.executable, "-c", THROUGH_A_MAPPING, folder / "dataset/mapped"], timeout=40, check=False)
    assert done.returncode in (0, -7)  # told by msync, fsync or close; or SIGBUS
    (folder / "dataset/mapped").unlink()
    laboratory.wait_for(lambda: fill(folder / "dataset/after", 4) == 4)  # its kernel lets go of the pages when it can


def test_fallocate_takes_all_or_nothing(folder):
    file = os.open(folder / "dataset/reserved", os.O_RDWR | os.O_CREAT)
    before = free_mib(folder)
    with pytest.raises(OSError) as refused:
        os.posix_fallocate(file, 0, 2 * QUOTA_MIB * MIB)
    assert refused.value.errno == errno.ENOSPC and free_mib(folder) == before
    os.posix_fallocate(file, 0, 4 * MIB)
    assert free_mib(folder) <= before - 4
    os.close(file)


@pytest.mark.parametrize("what", ["files", "directories", "links", "names"])
def test_many_small_things_end_too(folder, what):
    (folder / "dataset/first").write_text("x")
    make = {"files": lambda path: os.close(os.open(path, os.O_CREAT | os.O_WRONLY)), "directories": os.mkdir,
            "links": lambda path: os.symlink("x", path), "names": lambda path: os.link(folder / "dataset/first", path)}[what]
    made = 0
    with pytest.raises(OSError) as refused:
        while made <= FILES:
            make(folder / f"dataset/{made}")
            made += 1
    assert refused.value.errno == errno.ENOSPC and made > FILES // 2
    assert os.statvfs(folder).f_ffree == 0
    (folder / "dataset/first").write_bytes(bytes(MIB))  # what is there can grow
    remove = os.rmdir if what == "directories" else os.unlink
    remove(folder / "dataset/0")
    make(folder / "dataset/0")
    for number in range(made):
        remove(folder / f"dataset/{number}")


def test_extended_attributes_end_too(folder):
    (folder / "dataset/first").write_text("x")
    try:
        os.setxattr(folder / "dataset/first", "user.a", b"x")
    except OSError as error:
        assert error.errno == errno.ENOTSUP
        pytest.skip("SKIP: this kernel's tmpfs has no user.* attributes (6.6 and newer do)")
    made = 0
    with pytest.raises(OSError) as refused:
        while made < 4 * FILES:
            os.setxattr(folder / "dataset/first", f"user.{made}", bytes(1000))
            made += 1
    assert refused.value.errno == errno.ENOSPC
    os.removexattr(folder / "dataset/first", "user.0")
    os.setxattr(folder / "dataset/first", "user.0", bytes(1000))
    (folder / "dataset/first").unlink()
    (folder / "dataset/second").write_text("room again")


# --- all folders --------------------------------------------------------------------------------------------------


def test_all_folders_together_have_a_budget(lab, folder):
    one, two, three = lab.folders.values()
    try:
        assert fill(one / "dataset/full") >= QUOTA_MIB - 1
        settled(lambda: free_mib(three) > QUOTA_MIB - 1)  # there is still as much as its quota
        assert fill(two / "dataset/full") >= QUOTA_MIB - 1
        left = BUDGET_MIB - 2 * QUOTA_MIB
        settled(lambda: left - 1 <= free_mib(three) <= left)  # df: what is left for all
        assert left - 1 <= fill(three / "dataset/full") <= left
        settled(lambda: free_mib(three) == 0)
        with pytest.raises(OSError) as refused:
            (one / "dataset/more").write_bytes(bytes(MIB))
        assert refused.value.errno == errno.ENOSPC
        # Nobody else gets a folder now; who has one may mount it again.
        lab.sync("another")
        lab.ok("user", "unsync", "-d", "another")
        status, kind, message = wire_open_share(lab, "late").error()
        assert (status, kind) == (429, "exhausted") and f"fill the {BUDGET_MIB} MiB" in message
        # What one removes, another may have.
        (two / "dataset/full").unlink()
        settled(lambda: free_mib(three) > 0)
        with open(three / "dataset/full", "ab", buffering=0) as file:
            assert file.write(bytes(MIB)) == MIB
    finally:
        for each in (one, two, three):
            (each / "dataset/full").unlink(missing_ok=True)
    settled(lambda: all(free_mib(each) > QUOTA_MIB - 1 for each in (one, two, three)))


def wire_open_share(lab, name):
    with wire.Wire(lab.root / "run/default/control.sock", wire.Identity(lab.root, name)) as one:
        return one.ask("POST", "/v1/share", {"lanes": 1})
