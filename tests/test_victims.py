"""Applications that attack what is around them: the programs of victims/, each in a job, and what became of it."""

import errno
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

import lab as laboratory

SHARE_MIB = 256
TIGHT = "limits:\n  memory: 128MiB\n  processes: 16\n  time: 20s\n"
AF_UNIX = 1


@pytest.fixture(scope="module")
def lab(lab, repository):
    """An enclave, a folder, and the victims as two packages in it: `probe`, and `tight` with small limits."""
    lab.up(share_mib=SHARE_MIB)
    lab.folder = lab.sync("shared")
    lab.publish(repository / "tests/victims", lab.folder, "probe")
    tight = lab.root / "tight"
    shutil.copytree(repository / "tests/victims", tight)
    (tight / "cloister.yaml").write_text(TIGHT)
    lab.publish(tight, lab.folder, "tight")
    return lab


@pytest.fixture(autouse=True)
def nothing_survives(lab):
    """Whatever a victim did: afterwards no process of a job is left, and the enclave has the processes it had."""
    before = set() if lab.image else lab.enclave_processes()
    yield
    laboratory.wait_for(lambda: not lab.job_processes() and (lab.image or lab.enclave_processes() <= before))


def run(lab, script, *arguments, package="probe"):
    return lab.run("user", "run", "--", f"{package}.cloister", script, *arguments)


def report_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_enclave_lives(lab):
    done = run(lab, "exit.py", "exit", 3)
    assert done.returncode == 3, done.stderr


# --- what the user learns of the owner ----------------------------------------------------------------------------


def test_a_traceback_stays_from_the_user(lab):
    done = run(lab, "raise.py")
    assert (done.returncode, done.stdout) == (1, "before the end\n")
    assert done.stderr == "cloister: probe 1 ended with exit code 1\n"
    jobs = lab.ok("user", "jobs", "--json")
    assert "owner-secret" not in jobs + lab.ok("user", "logs") and "raise.py" in jobs


# --- other processes ----------------------------------------------------------------------------------------------

REFUSED = {"EACCES", "EPERM", "ENOENT", "ENOSYS", "ESRCH"}


def test_other_processes_are_out_of_reach(lab):
    report = report_of(run(lab, "others.py"))
    assert set(report.pop("processes")) <= {1, report.pop("pid")}
    for name, outcome in report.items():
        assert outcome in REFUSED | ({"empty"} if name.startswith("read ") else set()), (name, outcome)
    assert len(report) > 25
    check_enclave_lives(lab)


def test_sockets_of_unix_only(lab):
    report = report_of(run(lab, "sockets.py"))
    assert len(report) == 64 * 7 * 2
    opened = {name for name, outcome in report.items() if outcome == "succeeded"}
    expected = {f"{AF_UNIX} {kind}{pair}" for kind in ("stream", "datagram", "seqpacket", "raw") for pair in ("", " pair")}
    assert opened == expected
    # What is refused is refused by the wall, before the kernel says which families it knows.
    others = {outcome for name, outcome in report.items() if not name.startswith(f"{AF_UNIX} ")}
    assert others <= {"EAFNOSUPPORT", "EACCES", "EPERM"}, others


# --- surviving ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", ["quiet", "loud"])
def test_nothing_outlives_a_job(lab, voice):
    started = time.monotonic()
    done = run(lab, "outlive.py", voice)
    assert (done.returncode, done.stdout) == (0, "the parent goes\n"), done.stderr
    assert time.monotonic() - started < 20
    assert not lab.job_processes()  # when `run` returns, not some time later
    hearts = sorted((lab.folder / "output").glob("heart-*"))
    assert len(hearts) == 8
    sizes = [heart.stat().st_size for heart in hearts]
    time.sleep(0.2)  # twenty beats
    assert [heart.stat().st_size for heart in hearts] == sizes
    for heart in hearts:
        heart.unlink()


def test_a_job_that_ignores_every_signal_is_cancelled(lab):
    running = lab.start("user", "run", "probe.cloister", "stubborn.py")
    for _ in range(4):
        assert running.stdout.readline() == b"here\n"
    assert lab.image or len(lab.job_processes()) >= 4  # a machine does not show its processes
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=20) == 130
    laboratory.wait_for(lambda: not lab.job_processes())
    assert "cancelled" in lab.ok("user", "jobs").splitlines()[0]


def test_a_job_that_ignores_every_signal_is_ended_when_its_time_is_up(lab):
    directory = lab.root / "brief"
    directory.mkdir()
    shutil.copy(Path(__file__).parent / "victims" / "stubborn.py", directory)
    (directory / "cloister.yaml").write_text("limits:\n  time: 2s\n")
    lab.publish(directory, lab.folder, "brief")
    done = run(lab, "stubborn.py", package="brief")
    assert done.returncode == 125, done
    assert "the application ran for 2 s, the limit in its manifest" in done.stderr


def test_a_job_without_descriptors_goes_on(lab):
    assert run(lab, "closed.py").returncode == 6
    assert (lab.folder / "output" / "closed").read_text() == "first descriptor 0"
    (lab.folder / "output" / "closed").unlink()


# --- filling ------------------------------------------------------------------------------------------------------

MEMORY_MIB, PROCESSES, DESCRIPTORS, SCRATCH_MIB = 128, 16, 1024, 1024


@pytest.mark.parametrize("what, package, least, most, reason", [
    ("processes", "tight", 8, PROCESSES, "EAGAIN"),
    ("processes", "probe", 200, 256, "EAGAIN"),
    ("descriptors", "probe", 900, DESCRIPTORS, "EMFILE"),
    ("/tmp", "probe", SCRATCH_MIB - 8, SCRATCH_MIB, "ENOSPC"),
    ("/dev/shm", "probe", SCRATCH_MIB - 8, SCRATCH_MIB, "ENOSPC"),
    ("/output", "probe", SHARE_MIB // 2, SHARE_MIB, "ENOSPC"),
    ("stdout", "probe", 64, 64, "no end"),
])
def test_filling_ends_at_the_limit(lab, what, package, least, most, reason):
    if what == "/output" and lab.image:
        most = laboratory.MACHINE_MIB // 4  # a client's quota, where `up` has no option for it
    done = run(lab, "fill.py", what, package=package)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["reason"] == reason and least <= report["count"] <= most, report
    check_enclave_lives(lab)


def test_memory_ends_at_the_limit(lab):
    """With a memory controller the job is ended, and told why; without one, each of its processes meets its own limit."""
    done = run(lab, "fill.py", "memory", package="tight")
    if done.returncode == 125:
        assert "needed more than 128 MiB of memory, the limit in its manifest" in done.stderr
    else:
        report = report_of(done)
        assert report["reason"] == "MemoryError" and MEMORY_MIB // 2 <= report["count"] <= MEMORY_MIB, report
    check_enclave_lives(lab)


def test_a_full_job_does_not_starve_another(lab):
    """One holds its last process and the last byte of its scratch space; another of the same client has all of its own."""
    running = lab.start("user", "run", "--output", "other", "probe.cloister", "stubborn.py")
    for _ in range(4):
        assert running.stdout.readline() == b"here\n"
    try:
        for what, package, least in (("processes", "tight", 8), ("/tmp", "probe", SCRATCH_MIB - 8)):
            report = json.loads(run(lab, "fill.py", what, package=package).stdout)
            assert report["count"] >= least, report
        assert running.poll() is None
    finally:
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 130


# --- the shared folder --------------------------------------------------------------------------------------------


@pytest.fixture
def planted(lab):
    report = report_of(run(lab, "plant.py"))
    output = lab.folder / "output"
    yield report, output
    for path in output.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def test_what_a_job_plants_is_harmless_in_the_folder(lab, planted):
    report, output = planted
    succeeded = {name for name, outcome in report.items() if outcome == "succeeded"}
    for name in ("socket", "null", "disk", "whiteout", "capability", "trusted", "chown"):
        assert report[name] in ("EPERM", "EACCES", "EOPNOTSUPP", "EOVERFLOW"), (name, report[name])
    assert {"link absolute", "link outward", "fifo", "setuid"} <= succeeded  # it could make them: what counts is what is served
    seen = set(os.listdir(output))
    unseen = {"link absolute", "link outward", "link in disguise", "link to proc", "fifo", "socket", "null", "disk", "whiteout"}
    assert not seen & unseen
    for name in unseen:
        with pytest.raises(FileNotFoundError):
            os.lstat(output / name)
        with pytest.raises(FileNotFoundError):  # at once, where a fifo would wait for a writer
            os.open(output / name, os.O_RDONLY)
    assert (output / "link inside").read_text() == "planted\n"
    for name in seen:
        found = os.lstat(output / name)
        assert stat.S_IFMT(found.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK), name
        assert found.st_uid == os.getuid() and not found.st_mode & (stat.S_ISUID | stat.S_ISGID), (name, oct(found.st_mode))
    assert os.listxattr(output / "plain") == []


def test_links_that_stay_in_the_folder_are_served(lab, planted):
    """To the packages, too: they are the user's own, and the job sees nothing there."""
    _, output = planted
    assert os.readlink(output / "link to packages") == "../encrypted"
    assert "probe.cloister" in os.listdir(output / "link to packages")
    assert "link to packages" in os.listdir(output)


def test_the_folder_is_mounted_without_setuid_and_devices(lab):
    options = [line.split() for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(lab.folder)]
    assert len(options) == 1 and {"nosuid", "nodev"} <= set(options[0][3].split(","))


def test_names_with_control_characters_do_nothing_to_a_terminal(lab, planted):
    _, output = planted
    assert "\33]52;c;ZXZpbA==\7" in os.listdir(output) and "two\nlines" in os.listdir(output)
    shown = on_a_terminal(["ls", "-la", str(output)])
    assert b"plain" in shown and b"\33]52" not in shown
    shown = on_a_terminal([lab.cloister, "run", "--output", "\33]52;c;ZXZpbA==\7", "probe.cloister", "exit.py", "exit", "0"],
                          env=lab.environment("user"), cwd=lab.root / "user")
    assert b"\33]52" not in shown
    shown = on_a_terminal([lab.cloister, "jobs"], env=lab.environment("user"), cwd=lab.root / "user")
    assert b"plant.py" in shown and b"\33]52" not in shown


def on_a_terminal(command, **options):
    """What it writes to its terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, **options)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError as error:
        assert error.errno == errno.EIO  # the other side is closed
    os.close(ours)
    process.wait(timeout=20)
    return shown


def test_modules_of_the_users_do_not_take_the_place_of_others(lab):
    """What an interpreter would import from the user's folders could read the package."""
    dataset = lab.folder / "dataset"
    mark = "import sys\nsys.planted = True\n"
    places = [dataset, dataset / "lib/python3/dist-packages", dataset / ".local/lib/python3.11/site-packages"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name in ("json.py", "locale.py", "sitecustomize.py", "usercustomize.py"):
            (place / name).write_text(mark)
        (place / "planted.pth").write_text(mark.replace("\n", "; ") + "\n")
    # It does work, where somebody lets it.
    loose = subprocess.run(["/usr/bin/python3", "-c", "import sys, json; print(sys.planted)"], env={"PYTHONPATH": str(dataset)},
                           capture_output=True, text=True, timeout=30)
    assert loose.stdout == "True\n", loose
    try:
        report = report_of(run(lab, "imports.py"))
    finally:
        shutil.rmtree(dataset)
        dataset.mkdir()
    assert len(report["planted"]) == 5 * len(places) and not report["marked"] and report["customised"] in ([], ["sitecustomize"])
    assert all(path.startswith(("/app", "/usr/")) for path in report["path"] + report["files"]), report


def test_the_dataset_cannot_be_changed(lab):
    page = lab.folder / "dataset" / "page.txt"
    page.write_text("the user's own\n")
    page.chmod(0o640)
    os.utime(page, ns=(10**18, 10**18))
    before = page.stat()
    area = page.parent.stat()
    report = report_of(run(lab, "dataset.py"))
    assert report.pop("read") == "succeeded"
    for name, outcome in report.items():
        assert outcome in ("EROFS", "EACCES", "EPERM", "EXDEV", "EBADF", "ENOTTY", "EOPNOTSUPP"), (name, outcome)
    assert len(report) > 25
    after = page.stat()
    for what in ("st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns"):
        assert getattr(after, what) == getattr(before, what), what
    assert page.read_text() == "the user's own\n" and os.listxattr(page) == [] and os.listdir(page.parent) == ["page.txt"]
    assert (page.parent.stat().st_mode, page.parent.stat().st_mtime_ns) == (area.st_mode, area.st_mtime_ns)
    assert not (lab.folder / "output" / "page.txt").exists()
    page.unlink()
    (lab.folder / "output" / "mine").unlink()


# --- entry points -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entries(lab, repository):
    """A package with files of each kind."""
    directory = lab.root / "entries"
    (directory / "sub").mkdir(parents=True)
    files = {"plain": (0o644, "print(1)\n"), "shebang": (0o644, "#!/usr/bin/env python3\nprint('by its first line')\n"),
             "tool": (0o755, "#!/bin/sh\necho \"$0 $*\"\n"), "lost": (0o755, "#!/no/such/interpreter\n"), "rubbish": (0o755, "\1\2\3\4"),
             "relative": (0o644, "#!python3\n"), "sub/script.sh": (0o644, "printf '%s|' \"$@\"\n"), "-c.py": (0o644, "print(1)\n"),
             "endless": (0o644, "#!/" + "x" * 5000)}
    for name, (mode, text) in files.items():
        (directory / name).write_text(text)
        (directory / name).chmod(mode)
    shutil.copy(repository / "tests/victims/arguments.py", directory)
    (directory / "link.py").symlink_to("arguments.py")
    (directory / "linked").symlink_to("sub")
    (directory / "python3").symlink_to("plain")
    lab.publish(directory, lab.folder, "entries")
    (lab.folder / "dataset" / "evil.py").write_text("print(open('/app/arguments.py').read())")
    yield directory
    (lab.folder / "dataset" / "evil.py").unlink()


@pytest.mark.parametrize("entry, code, reason", [
    ("-c", 126, "looks like a flag"),
    ("-c.py", 126, "looks like a flag"),
    ("-", 126, "looks like a flag"),
    ("../dataset/evil.py", 126, "'..' is not a name"),
    ("sub/../../dataset/evil.py", 126, "'..' is not a name"),
    ("/dataset/evil.py", 126, "an absolute path"),
    ("/app/arguments.py", 126, "an absolute path"),
    ("//dataset/evil.py", 126, "an absolute path"),
    ("./arguments.py", 126, "'.' is not a name"),
    (".", 126, "'.' is not a name"),
    ("sub//script.sh", 126, "a name of 0 bytes"),
    ("arguments.py/", 126, "a name of 0 bytes"),
    ("dataset/evil.py", 127, "has no file"),
    ("missing.py", 127, "has no file"),
    ("arguments.py/x", 126, "may not be run|has no file"),
    ("sub", 126, "not a regular file"),
    ("plain", 126, "is not executable, and no interpreter is known for its name"),
    ("relative", 126, "no interpreter in its first line"),
    ("endless", 126, "its first line is longer"),
    ("rubbish", 126, "Exec format error"),
    ("lost", 127, "No such file"),
    ("link.py", 126, "may not be run"),
    ("python3", 126, "may not be run"),
    ("linked/script.sh", 126, "may not be run"),
    ("arguments.py\n", 127, "has no file"),
    ("arguments", 127, "has no file"),
    ("\33]52;c;ZXZpbA==\7", 127, "has no file"),
    ("n" * 256, 126, "a name of 256 bytes"),
])
def test_what_is_no_entry_point_is_refused(lab, entries, entry, code, reason):
    done = lab.run("user", "run", "-f", "entries.cloister", f"--script={entry}", "-a", "print(1)")
    assert (done.returncode, done.stdout) == (code, ""), done
    line = done.stderr.splitlines()
    assert len(line) == 1 and line[0].startswith("cloister: "), done.stderr
    assert any(word in line[0] for word in reason.split("|")), done.stderr
    assert "\33" not in done.stderr


FLAGS = ["-c", "-i", "-m", "--version", "--", "-", "", "-Xfrozen_modules=off", "@file", "a b", "'quoted'", "$(id)", "é", "\33[2J",
         "two\nlines"]


def test_arguments_reach_a_script_as_data(lab, entries):
    report = report_of(run(lab, "arguments.py", *FLAGS, package="entries"))
    assert report == {"arguments": FLAGS, "interactive": 0, "module": "__main__", "environment": 0}
    for flag in ("-c", "-i", "--"):  # as the first, too
        report = report_of(run(lab, "arguments.py", flag, "x", package="entries"))
        assert report["arguments"] == [flag, "x"]


def test_arguments_in_one_text_reach_a_script_as_data(lab, entries):
    done = lab.run("user", "run", "-f", "entries.cloister", "-s", "arguments.py", "-a", "-c -i '' \"$(id)\" `id` ; exit 3 \\# && x")
    report = report_of(done)
    assert report["arguments"] == ["-c", "-i", "", "$(id)", "`id`", ";", "exit", "3", "#", "&&", "x"]


def test_other_files_start_as_documented(lab, entries):
    assert run(lab, "shebang", package="entries").stdout == "by its first line\n"
    assert run(lab, "tool", "-c", "id", package="entries").stdout == "/app/tool -c id\n"
    assert run(lab, "sub/script.sh", "-c", "id", "", package="entries").stdout == "-c|id||"


def test_a_package_cannot_link_to_an_interpreter(lab, entries):
    """The owner's own machine refuses to pack it; test_forged_packages.py has the enclave refuse it."""
    directory = lab.root / "linking"
    directory.mkdir()
    for name, target in (("tool.py", "/usr/bin/python3"), ("other.py", "../../../usr/bin/python3")):
        (directory / name).symlink_to(target)
        done = lab.run("owner", "encrypt", "-d", directory, "-k", lab.make_key(), "-o", lab.root / "linking.cloister")
        assert done.returncode == 1 and "symbolic link" in done.stderr, done
        (directory / name).unlink()
