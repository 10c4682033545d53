"""A user who is not root uses an enclave that root started for a group: what the kernel allows works, the rest says why."""

import os
import shutil
import subprocess

import pytest

import lab as laboratory

pytestmark = pytest.mark.processes("--group is theirs: an emulated enclave is believed by its starter alone")

NOBODY = 65534
GROUP = "nogroup"

# In a mount namespace of its own, because /dev/fuse may be root's here: there a copy of the device is open to all,
# as it is on every ordinary machine. $1: a folder for the copy, then the user's commands.
AS_NOBODY = f"""
set -e
mknod -m 666 "$1/fuse" c 10 229
mount --bind "$1/fuse" /dev/fuse
: < /dev/fuse && test -e /etc/mtab || exit 77
shift
exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups -- "$@"
"""

# What that user does: a folder, a package, a run, the results, and out again.
A_DAY = """
set -e
"$CLOISTER" sync -d shared
cp "$PACKAGE" shared/encrypted/
"$CLOISTER" run --signer "$SIGNER" probe.cloister -- spy.py > report.json
test "$(cat shared/output/mine)" = x
test "$(stat -c %u shared/output/mine)" = 65534
"$CLOISTER" status
"$CLOISTER" jobs
"$CLOISTER" unsync -d shared
"""


@pytest.fixture(scope="module")
def lab(lab):
    os.chmod(lab.root, 0o755)
    os.chmod(lab.root / "run", 0o755)
    return lab


@pytest.fixture(scope="module")
def package(lab, repository):
    """A package, its signer, and a running enclave that the group may use."""
    path, signer = lab.encrypt(repository / "tests/victims", lab.make_key(), "probe")
    lab.ok("user", "up", "--group", GROUP)
    lab.enclaves.append("default")
    lab.ok("user", "proxy", "-s", "kms")
    return path, signer


@pytest.fixture
def home(lab):
    """Where nobody lives, with programs that nobody can reach: those of a build may lie below a home of root's."""
    made = lab.root / "nobody"
    made.mkdir()
    os.chown(made, NOBODY, NOBODY)
    for name in ("cloister", "cloister-kms", "cloisterd-sim"):
        shutil.copy(lab.programs / name, made)
    yield made
    shutil.rmtree(made)


def environment(lab, home):
    return lab.environment("user") | {"HOME": str(home), "CLOISTER_HOME": f"{home}/config", "CLOISTER_STATE": f"{home}/state",
                                      "CLOISTER_RUN": f"{home}/run:{lab.root}/run"}


def as_nobody(lab, home, *words):
    return subprocess.run([home / "cloister", *words], env=environment(lab, home), cwd=home, user=NOBODY, group=NOBODY,
                          extra_groups=[], capture_output=True, text=True, timeout=30)


@pytest.mark.timeout(120)
def test_a_day_without_root(lab, package, home):
    path, signer = package
    variables = environment(lab, home) | {"CLOISTER": str(home / "cloister"), "PACKAGE": str(path), "SIGNER": signer}
    place = lab.root / "devices"
    place.mkdir()
    done = subprocess.run(["unshare", "-m", "bash", "-c", AS_NOBODY, "-", place, "bash", "-c", A_DAY], env=variables, cwd=home,
                          capture_output=True, text=True, timeout=100)
    if done.returncode == 77:
        pytest.skip("SKIP: fusermount3 needs /etc/mtab, and a /dev/fuse that a device node of one's own opens")
    assert done.returncode == 0, done.stderr
    assert "probe 1 ran successfully" in done.stderr and "default" in done.stdout


def test_what_needs_root_says_so(lab, package, home):
    for words, reason in ((["up", "--name", "mine"], "needs root"), (["down"], "started by somebody else")):
        done = as_nobody(lab, home, *words)
        assert done.returncode == 1 and reason in done.stderr, (words, done)
    assert as_nobody(lab, home, "status").returncode == 0  # it is still there


def test_an_enclave_without_a_group_is_its_starters_alone(lab, package, home):
    lab.ok("user", "up", "--name", "private")
    lab.enclaves.append("private")
    done = as_nobody(lab, home, "jobs", "--name", "private")
    assert done.returncode == 1 and "not for you" in done.stderr and "--group" in done.stderr, done
    knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    refused = subprocess.run(["/usr/bin/python3", "-c", knock, lab.root / "run/private/control.sock"], user=NOBODY, group=NOBODY,
                             extra_groups=[], capture_output=True, text=True, check=False)
    assert "PermissionError" in refused.stderr
    lab.down("private")


def test_a_group_that_is_not_there_is_refused(lab):
    done = lab.run("user", "up", "--name", "other", "--group", "no-such-group")
    assert done.returncode == 1 and "there is no group 'no-such-group'" in done.stderr


def test_an_owner_needs_no_root(lab, package, home, repository):
    """A key service of one's own, a key, a package."""
    application = home / "app"
    shutil.copytree(repository / "tests/victims", application)
    for path in [application, *application.iterdir()]:
        os.chown(path, NOBODY, NOBODY)
    kms = f"{home}/kms"
    variables = environment(lab, home)

    def ok(*words):
        done = subprocess.run([home / "cloister", *words], env=variables, cwd=home, user=NOBODY, group=NOBODY, extra_groups=[],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    ok("kms", "init", "--dir", kms, "--port", str(laboratory.free_port()))
    variables |= laboratory.read_env(home / "kms" / "owner.env")
    ok("kms", "serve", "--dir", kms, "--development-root", str(package[0].parent.parent / "state/development-root/root.pem"), "--detach")
    try:
        key = ok("key", "create").strip()
        signer = ok("encrypt", "-d", "app", "-k", key, "--name", "mine", "-o", "mine.cloister").split()[1]
        ok("signer", "add", "myself", signer)
        assert "mine 1" in ok("inspect", "mine.cloister")
    finally:
        ok("kms", "stop", "--dir", kms)
