"""The command line as people type it: flags and quoting of `run`, the folder's end by umount, the help of every verb."""

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import lab as laboratory

needs_enclave = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))

ECHO = "import json, sys\nprint(json.dumps(sys.argv[1:]))\n"
SLOW = "import time\ntime.sleep(1.5)\nopen('/output/late.txt', 'w').write('done')\n"


@pytest.fixture(scope="module")
def key(lab):
    return lab.make_key()


@pytest.fixture(scope="module")
def app(lab):
    path = lab.root / "owner/echo"
    (path / "sub dir").mkdir(parents=True)
    for name in ("echo.py", "my script.py", "sub dir/echo.py"):
        (path / name).write_text(ECHO)
    (path / "slow.py").write_text(SLOW)
    return path


@pytest.fixture(scope="module")
def folder(lab, app, key):
    package, signer = lab.encrypt(app, key, "echo")
    lab.ok("user", "signer", "add", "owner", signer)
    lab.up()
    made = lab.sync("work")
    for name in ("encrypted/echo.cloister", "encrypted/my app.cloister"):
        shutil.copy(package, made / name)
    (made / "else where").mkdir()
    shutil.copy(package, made / "else where/echo.cloister")
    return made


# --- run ----------------------------------------------------------------------------------------------------------

E = ["-f", "echo.cloister", "-s", "echo.py"]

RUNS = [  # words after `cloister run`, what the application is given
    (E, []),
    (E + ["-a", ""], []),
    (E + ["-a", "   "], []),
    (E + ["-a", "-d /dataset/ -o /output/"], ["-d", "/dataset/", "-o", "/output/"]),
    (E + ["-a", "a  b\tc\nd "], ["a", "b", "c", "d"]),
    (E + ["-a", "'two words' x"], ["two words", "x"]),
    (E + ["-a", '"two words" x'], ["two words", "x"]),
    (E + ["-a", r"two\ words x"], ["two words", "x"]),
    (E + ["-a", r"""'it'\''s' "a \"b\" \\ \n" '\n'"""], ["it's", r'a "b" \ \n', r"\n"]),
    (E + ["-a", "pre'fix'\"ed\""], ["prefixed"]),
    (E + ["-a", "'' a \"\" b ''"], ["", "a", "", "b", ""]),
    (E + ["-a", "$HOME *.py `id` $(id) ~ a;b | c > d & #e"], ["$HOME", "*.py", "`id`", "$(id)", "~", "a;b", "|", "c", ">", "d", "&", "#e"]),
    (E + ["-a", "größe 数 \u00a0"], ["größe", "数", "\u00a0"]),
    (E + ["-a", "-v"], ["-v"]),
    (E + ["-a", "--help"], ["--help"]),
    (E + ["-a", "-a x -f y"], ["-a", "x", "-f", "y"]),
    (E + ["--arguments", "-x 'y z'"], ["-x", "y z"]),
    (E + ["--arguments=-x 'y z'"], ["-x", "y z"]),
    (["--file", "echo.cloister", "--script", "echo.py", "--arguments", "a b"], ["a", "b"]),
    (["--file=echo.cloister", "--script=echo.py", "--arguments=a b"], ["a", "b"]),
    (["-a", "a b", "-s", "echo.py", "-f", "echo.cloister"], ["a", "b"]),
    (["-f", "my app.cloister", "-s", "my script.py", "-a", "'my argument'"], ["my argument"]),
    (["-f", "echo.cloister", "-s", "sub dir/echo.py", "-a", "x"], ["x"]),
    (["-f", "encrypted/echo.cloister", "-s", "echo.py"], []),
    (["-f", "else where/echo.cloister", "-s", "echo.py"], []),
    (["--", "echo.cloister", "echo.py"], []),
    (["--", "echo.cloister", "echo.py", "-x", "--", "--help"], ["-x", "--", "--help"]),
    (["echo.cloister", "echo.py", "--", "-x", "y"], ["-x", "y"]),
    (["echo.cloister", "echo.py", "a", "two words"], ["a", "two words"]),
    (["echo.cloister", "--", "echo.py", "-x", "--help", "-f", "y"], ["-x", "--help", "-f", "y"]),
    (["echo.cloister", "--", "echo.py", "a b", "", "'c'", r"\d"], ["a b", "", "'c'", r"\d"]),
    (["echo.cloister", "--", "echo.py", "x", "--", "y"], ["x", "--", "y"]),
    (["my app.cloister", "--", "my script.py", "x"], ["x"]),
    (["--name", "default", "echo.cloister", "--", "echo.py", "--name", "other"], ["--name", "other"]),
]


@needs_enclave
@pytest.mark.parametrize("words, expected", RUNS, ids=[" ".join(row[0]) for row in RUNS])
def test_what_the_application_is_given(lab, folder, words, expected):
    done = lab.run("user", "run", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
    assert done.stderr == "cloister: echo 1 ran successfully\n"


MISTAKES = [  # words after `cloister run`, exit code, what the first line says
    (E + ["-a", "'never closed"], 2, "-a: a ' that is never closed"),
    (E + ["-a", 'a "b'], 2, '-a: a " that is never closed'),
    (E + ["-a", "a\\"], 2, "-a: a backslash at the end"),
    (["-f", "echo.cloister"], 2, "which package and which of its scripts?"),
    (["-s", "echo.py"], 2, "which package and which of its scripts?"),
    ([], 2, "which package and which of its scripts?"),
    (E + ["--", "echo.cloister", "echo.py"], 2, "either -f, -s and -a, or FILE SCRIPT ARG…"),
    (["-f", "absent.cloister", "-s", "echo.py"], 125, "'encrypted/absent.cloister'"),
    (["-f", "../echo.cloister", "-s", "echo.py"], 125, "'..'"),
    (["-f", "echo.cloister", "-s", "absent.py"], 127, "the package has no file 'absent.py'"),
    (["-f", "echo.cloister", "-s", "-c", "-a", "x"], 126, "'-c'"),
    (E + ["--no-such-flag"], 2, "--no-such-flag"),
    (["-f"], 2, "-f"),
    (E + ["--name", "absent"], 125, "absent"),
]


@needs_enclave
@pytest.mark.parametrize("words, code, reason", MISTAKES, ids=[" ".join(row[0]) or "nothing" for row in MISTAKES])
def test_mistakes_are_named(lab, folder, words, code, reason):
    done = lab.run("user", "run", *words)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("cloister: ") and reason in done.stderr.splitlines()[0], done.stderr


@needs_enclave
def test_run_waits_for_the_end(lab, folder):
    late = folder / "output/late.txt"
    late.unlink(missing_ok=True)
    started = time.monotonic()
    done = lab.run("user", "run", "-f", "echo.cloister", "-s", "slow.py")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started >= 1.5
    assert late.read_text() == "done"
    assert done.stdout == "" and done.stderr == "cloister: echo 1 ran successfully\n"


# --- encrypt ------------------------------------------------------------------------------------------------------


@needs_enclave
@pytest.mark.parametrize("words, written", [
    (["-d", "echo", "-k", "KEY"], "echo.cloister"),
    (["-d", "echo/", "-k", "KEY"], "echo.cloister"),
    (["-k", "KEY", "-d", "./echo/"], "echo.cloister"),
    (["--directory", "echo", "--key", "KEY"], "echo.cloister"),
    (["--directory=echo", "--key=KEY", "--output=o.cloister", "--name=n", "--release=2"], "o.cloister"),
    (["-d", "echo", "-k", "KEY", "-o", "with blanks.cloister"], "with blanks.cloister"),
    (["-d", "echo", "-k", "KEY_ID"], "echo.cloister"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else value)
def test_encrypt(lab, app, key, words, written):
    target = lab.root / "owner" / written
    target.unlink(missing_ok=True)
    words = [word.replace("KEY_ID", key.rsplit("/", 1)[1]).replace("KEY", key) for word in words]
    done = lab.run("owner", "encrypt", *words)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"signer [0-9a-f]{64}\n", done.stdout)
    assert target.read_bytes()[:8] == b"\x8cCLSTR\r\n"


@needs_enclave
@pytest.mark.parametrize("words, code, reason", [
    (["-d", "echo"], 2, "--key"),
    (["-k", "KEY"], 2, "--directory"),
    (["-d", "absent", "-k", "KEY"], 1, "absent"),
    (["-d", "echo", "-k", "KEY", "--name", "two words"], 1, "name must be"),
    (["-d", "echo", "-k", "alias/absent"], 1, "alias/absent"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_encrypt_mistakes(lab, app, key, words, code, reason):
    done = lab.run("owner", "encrypt", *[word.replace("KEY", key) for word in words])
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("cloister: ") and reason in done.stderr, done.stderr


# --- proxy and sync -----------------------------------------------------------------------------------------------


def folders_of(lab):
    return [mount["directory"] for mount in status_of(lab)["mounts"]]


def status_of(lab):
    (enclave,) = json.loads(lab.ok("user", "status", "--json"))["enclaves"]
    return enclave


@needs_enclave
@pytest.mark.parametrize("words", [["-s", "kms"], ["--service", "kms"], ["--service=kms"]], ids=" ".join)
def test_proxy(lab, folder, words):
    lab.ok("user", "proxy", "--stop")
    assert status_of(lab)["proxy"] is None
    done = lab.run("user", "proxy", *words)  # returns at once: the proxy is in the background
    assert done.returncode == 0 and "the enclave may reach" in done.stderr
    assert len(status_of(lab)["proxy"]) == 1
    assert lab.run("user", "run", *E).returncode == 0


@needs_enclave
@pytest.mark.parametrize("words", [["-d", "one"], ["-d", "one/"], ["-d", "./one/../one"], ["--directory", "one"], ["--directory=one"],
                                   ["-d", "with blanks"], ["-d", "deeper/still"]], ids=" ".join)
def test_sync(lab, folder, words):
    target = lab.root / "user" / words[-1].removeprefix("--directory=")
    done = lab.run("user", "sync", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "is the shared folder of enclave 'default' now" in done.stderr
    try:
        assert (target / "encrypted/echo.cloister").exists()
        assert os.path.ismount(target)
        assert str(target.resolve()) in folders_of(lab)
        again = lab.run("user", "sync", "-d", target)
        assert again.returncode == 1 and "is a mount point already" in again.stderr
    finally:
        lab.ok("user", "unsync", "-d", target)
    assert not os.path.ismount(target)


# What two users do to each other's files. $1: the folder; users are numbers, so that none need exist.
AS_USERS = """
set -e
as() { ids=$1; shift; setpriv --reuid "$ids" --regid "$ids" --clear-groups "$@"; }
in_group() { setpriv --reuid 4002 --regid 4002 --groups 5000 "$@"; }
refused() { if "$@" 2>/dev/null; then echo "allowed: $*"; exit 1; fi; }
cd "$1"
mkdir -m 1777 drop
as 4001 sh -c 'umask 022; echo one > drop/first; mkdir drop/room; ln -s first drop/link'
test "$(stat -c %u:%g drop/first drop/room drop/link | sort -u)" = 4001:4001
as 4002 cat drop/first > /dev/null
refused as 4002 sh -c 'echo two > drop/first'
refused as 4002 touch drop/room/file
refused as 4002 rm -f drop/first  # the directory is sticky
refused as 4002 mv drop/first drop/second
refused as 4002 chmod 666 drop/first
refused as 4001 chown 4002 drop/first
refused as 4001 chgrp 4002 drop/first
chgrp 5000 drop/first
chmod 660 drop/first
refused as 4002 cat drop/first
in_group sh -c 'echo two >> drop/first'
test "$(cat drop/first)" = "one
two"
chown 65535:0 drop/first
test "$(stat -c %u:%g drop/first)" = 65535:0
refused chown 65536 drop/first
chown -h 4002 drop/link
test "$(stat -c %u drop/link)" = 4002
as 4002 rm drop/link
chmod 6755 drop/first
test "$(stat -c %a drop/first)" = 755
rm -r drop
"""


@needs_enclave
def test_sync_keeps_owners(lab, folder):
    lab.root.chmod(0o755)
    (lab.root / "user").chmod(0o755)
    lab.ok("user", "sync", "-d", "owners", "--ownership=keep", "--allow-other")
    target = lab.root / "user/owners"
    try:
        done = subprocess.run(["sh", "-c", AS_USERS, "sh", target], capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        lab.ok("user", "unsync", "-d", target)


@needs_enclave
def test_sync_mistakes(lab, folder):
    full = lab.root / "user/full"
    full.mkdir()
    (full / "file").touch()
    for words, code, reason in [([], 2, "--directory"), (["-d", "full"], 1, "not empty"), (["-d", "full/file"], 1, "full/file"),
                                (["-d", "x", "--name", "absent"], 1, "absent")]:
        done = lab.run("user", "sync", *words)
        assert done.returncode == code and reason in done.stderr, (words, done)


def background_of(lab, directory):
    """Process id of the folder's pump."""
    for record in (lab.root / "run/default/mounts").glob("*.json"):
        facts = json.loads(record.read_text())
        if facts["directory"] == str(directory):
            return facts["pid"]
    return None


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@needs_enclave
@pytest.mark.parametrize("command", [["umount"], ["fusermount3", "-u"], ["cloister", "unsync", "-d"]], ids=" ".join)
def test_the_folder_ends_by_its_unmounting(lab, folder, command):
    if command[0] != "cloister" and shutil.which(command[0]) is None:
        pytest.skip(f"SKIP: no {command[0]}")
    target = lab.sync("ends")
    (target / "dataset/kept.txt").write_text("kept")
    pid = background_of(lab, target)
    assert pid and not gone(pid)
    if command[0] == "cloister":
        lab.ok("user", *command[1:], target)
    else:
        done = subprocess.run([*command, target], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < deadline, "the folder's process lives on"
        time.sleep(0.02)
    assert not os.path.ismount(target) and os.listdir(target) == []
    assert str(target) not in folders_of(lab)
    assert background_of(lab, target) is None  # status has cleaned its record up
    again = lab.run("user", "unsync", "-d", target)
    assert again.returncode == 1 and "is not a synced folder" in again.stderr
    # The folder itself lives in the enclave: synced again, it is as it was.
    target = lab.sync("ends")
    assert (target / "dataset/kept.txt").read_text() == "kept"
    assert lab.run("user", "run", *E).returncode == 0
    lab.ok("user", "unsync", "-d", target)


# --- help ---------------------------------------------------------------------------------------------------------


def help_of(binaries, *verbs):
    return subprocess.run([binaries["cloister"], *verbs, "--help"], capture_output=True, text=True, timeout=20)


def verbs_in(text):
    """The names in the section "Subcommands:" of a help text."""
    section = text.partition("Subcommands:\n")[2].partition("\nExample:\n")[0]
    return re.findall(r"^  ([a-z][a-z-]*)", section, re.MULTILINE)


def test_every_verb_explains_itself(binaries):
    found = {}
    waiting = [()]
    while waiting:
        verbs = waiting.pop()
        done = help_of(binaries, *verbs)
        assert done.returncode == 0 and done.stderr == "", (verbs, done)
        found[verbs] = done.stdout
        if verbs[:1] != ("kms",):  # a program of its own
            waiting += [(*verbs, name) for name in verbs_in(done.stdout)]
    names = {" ".join(verbs) for verbs in found}
    assert {"encrypt", "inspect", "up", "down", "status", "proxy", "sync", "unsync", "run", "jobs", "cancel", "key allow", "kms"} <= names
    for verbs, text in found.items():
        assert "sage: " in text and "--help" in text, verbs


@pytest.mark.parametrize("verb, flags", [
    ("encrypt", ["-d,--directory", "-k,--key"]), ("proxy", ["-s,--service"]), ("sync", ["-d,--directory"]),
    ("run", ["-f,--file", "-s,--script", "-a,--arguments"])])
def test_short_and_long_forms_stand_in_the_help(binaries, verb, flags):
    text = help_of(binaries, verb).stdout
    for flag in flags:
        assert flag in text
    assert f"cloister {verb} " in text  # an example


def test_usage_errors_have_a_code_of_their_own(binaries):
    for words in (["no-such-verb"], ["sync"], ["run", "--no-such-flag"], ["status", "--", "x"], []):
        done = subprocess.run([binaries["cloister"], *words], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and done.stdout == "" and done.stderr, (words, done)
