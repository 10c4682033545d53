"""The shared folder with the tools that people use on folders."""

import os
import shutil
import sqlite3
import subprocess

import pytest

import lab as laboratory

pytestmark = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))


@pytest.fixture(scope="module")
def folder(binaries):
    lab = laboratory.Lab(binaries)
    lab.up()
    yield lab.sync("shared")
    lab.close()


@pytest.fixture
def tree(tmp_path):
    """A tree with files, an empty directory, a link, a mode and an old time."""
    root = tmp_path / "tree"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "big").write_bytes(os.urandom(3_000_001))
    (root / "deep" / "er" / "run.sh").write_text("#!/bin/sh\necho hello\n")
    (root / "deep" / "er" / "run.sh").chmod(0o750)
    (root / "link").symlink_to("deep/er/run.sh")
    os.utime(root / "big", ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))
    return root


def sh(command, **options):
    done = subprocess.run(command, shell=isinstance(command, str), capture_output=True, text=True, timeout=50, **options)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def same(one, other):
    sh(["diff", "-r", "--no-dereference", str(one), str(other)])
    assert (other / "big").stat().st_mtime_ns == (one / "big").stat().st_mtime_ns
    assert (other / "deep/er/run.sh").stat().st_mode == (one / "deep/er/run.sh").stat().st_mode
    assert os.readlink(other / "link") == "deep/er/run.sh"


def test_cp_a_and_back(folder, tree, tmp_path):
    sh(["cp", "-a", str(tree), str(folder / "copied")])
    same(tree, folder / "copied")
    sh(["cp", "-a", str(folder / "copied"), str(tmp_path / "back")])
    same(tree, tmp_path / "back")
    sh(["rm", "-r", str(folder / "copied")])
    assert not (folder / "copied").exists()


def test_rsync_a(folder, tree):
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    sh(["rsync", "-a", f"{tree}/", str(folder / "synced")])
    same(tree, folder / "synced")
    assert sh(["rsync", "-a", "--itemize-changes", f"{tree}/", str(folder / "synced")]) == ""


def test_ls_mv_mkdir_touch_truncate_dd(folder):
    sh("mkdir -p a/b && touch -d '2001-02-03 04:05:06 UTC' a/b/old && mv a/b a/c && ls -lR a", cwd=folder)
    assert (folder / "a/c/old").stat().st_mtime == 981173106
    sh("dd if=/dev/urandom of=a/data bs=64k count=33 status=none && truncate -s 100000 a/data", cwd=folder)
    assert (folder / "a/data").stat().st_size == 100000
    sh("dd if=/dev/zero of=a/sparse bs=1 count=1 seek=50000000 status=none", cwd=folder)
    assert (folder / "a/sparse").stat().st_blocks * 512 < 1_000_000
    sh("ln -s c/old a/link && cat a/link && rm -r a", cwd=folder)


def test_sqlite(folder):
    with sqlite3.connect(folder / "data.db") as db:
        db.execute("create table t (n integer)")
        db.executemany("insert into t values (?)", [(n,) for n in range(1000)])
    db.close()
    with sqlite3.connect(folder / "data.db") as db:
        assert db.execute("select sum(n) from t").fetchone() == (499500,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


def test_git_clone(folder, tmp_path):
    origin = tmp_path / "origin"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    sh(["git", "init", "-q", str(origin)])
    for number in range(50):
        (origin / f"file{number}").write_text(f"{number}\n" * number)
    sh([*git, "-C", str(origin), "add", "."])
    sh([*git, "-C", str(origin), "commit", "-q", "-m", "first"])
    sh(["git", "clone", "-q", str(origin), str(folder / "clone")])
    assert sh(["git", "-C", str(folder / "clone"), "status", "--porcelain"]) == ""
    sh(["git", "-C", str(folder / "clone"), "fsck", "--strict"])


def test_setuid_and_devices_do_not_exist_there(folder):
    path = folder / "program"
    path.write_text("x")
    try:
        os.chmod(path, 0o4755)
    except PermissionError:
        pass
    assert path.stat().st_mode & 0o6000 == 0
    with pytest.raises(PermissionError):
        os.mknod(folder / "device", 0o20666, os.makedev(1, 3))
    flags = next(line.split()[3] for line in open("/proc/mounts", encoding="utf-8") if line.split()[1] == str(folder))
    assert {"nosuid", "nodev"} <= set(flags.split(","))


def test_umount_ends_it_and_sync_begins_anew(binaries):
    lab = laboratory.Lab(binaries)
    try:
        lab.up()
        folder = lab.sync("again")
        (folder / "dataset" / "kept").write_text("still here")
        sh(["umount", str(folder)])
        assert os.listdir(folder) == []
        folder = lab.sync("again")
        assert (folder / "dataset" / "kept").read_text() == "still here"  # the share lives as long as the enclave
        lab.down()
        assert os.listdir(folder) == []
    finally:
        lab.close()
