"""docs/errors.md, row by row: what goes wrong, the line that is printed, the exit code. A row without a test fails, and so
does a test without a row."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

import lab as laboratory
import wire
from error_table import COVERED, TABLE, check, code_of, rows
from fake_kms import FakeKms
from lab import wait_for
from legacy_packages import seal, zipped
from processes import alive, direct_children, leftovers, processes_below, user_of, was_hit

pytestmark = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 30 * laboratory.SLOWER  # seconds that any failing command may take
PROBE = ("probe.cloister", "exit.py", "exit", "0")
NOBODY = 65534
KEEPER, LISTENER, SHARE = 61001, 61002, 1048576  # users, src/enclave/monitor.cc and shares.cc


def test_every_row_has_a_test():
    assert set(TABLE) == COVERED


# --- helpers ------------------------------------------------------------------------------------------------------


def run(lab, who, *words, env=None, drop=(), before=(), timeout=LONGEST, **options):
    environment = {k: v for k, v in (lab.environment(who) | (env or {})).items() if k not in drop}
    return subprocess.run([*before, lab.cloister, *map(str, words)], cwd=lab.root / who, stdin=subprocess.DEVNULL, env=environment,
                          capture_output=True, text=True, timeout=timeout, **options)


def ended(process, seconds=LONGEST):
    """What a started command said, once it has ended."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"it hangs: {process.args}")
    return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), err.decode())


def record_of(lab, name):
    return json.loads((lab.root / "run" / name / "enclave.json").read_text())


@pytest.fixture(scope="module")
def package(lab, repository):
    key = lab.make_key()
    path, signer = lab.encrypt(repository / "tests/victims", key, "probe")
    lab.ok("user", "signer", "add", "acme", signer)
    return path


@pytest.fixture(scope="module")
def folder(lab, package):
    """The folder of a user with an enclave, a proxy and a package that runs."""
    lab.up()
    made = lab.sync("shared")
    shutil.copy(package, made / "encrypted")
    return made


class Victim:
    """An enclave that may be hurt, with its folder."""

    def __init__(self, lab, package):
        self.lab, self.package = lab, package

    def begin(self, share_mib=None):
        self.lab.ok("user", "up", "--name", "victim", *self.lab.backend(share_mib), seconds=laboratory.UP_SECONDS)
        self.lab.ok("user", "proxy", "-s", "kms", "--name", "victim")
        self.folder = self.lab.sync("hurt", "victim")
        shutil.copy(self.package, self.folder / "encrypted")

    def run(self, *words, **options):
        return run(self.lab, "user", "run", "--name", "victim", *(words or ("--", *PROBE)), **options)

    def start_job(self):
        (self.folder / "output" / "started").unlink(missing_ok=True)
        running = self.lab.start("user", "run", "--name", "victim", "--", "probe.cloister", "slow.py")
        assert running.stdout.readline() == b"started\n"
        return running

    def job_processes(self):
        if self.lab.image:
            return self.lab.job_processes("victim")
        users = range(laboratory.FIRST_JOB_USER, laboratory.FIRST_JOB_USER + laboratory.JOB_USERS)
        return [pid for pid, user in processes_below(self.pid()).items() if user in users]

    def pid(self):
        return record_of(self.lab, "victim")["pid"]

    def of_user(self, user):
        """The process of the enclave that runs as this user."""
        if self.lab.image:
            pytest.skip("of processes: a machine does not show those inside it")
        return next(pid for pid, uid in processes_below(self.pid()).items() if uid == user)

    def pump(self):
        path = next((self.lab.root / "run/victim/mounts").glob("*.json"))
        return json.loads(path.read_text())["pid"]

    def proxy(self):
        return json.loads((self.lab.root / "run/victim/proxy.json").read_text())["pid"]

    def end(self):
        run(self.lab, "user", "down", "--force", "--name", "victim")


@pytest.fixture
def victim(lab, package):
    made = Victim(lab, package)
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture
def fake(lab, folder):
    made = FakeKms(lab)
    lab.ok("user", "proxy", "--stop")
    done = run(lab, "user", "proxy", "-s", "kms", env={"AWS_ENDPOINT_URL_KMS": made.url})
    assert done.returncode == 0, done.stderr
    yield made
    lab.ok("user", "proxy", "--stop")
    lab.ok("user", "proxy", "-s", "kms")
    made.close()


def encrypt(lab, *words, key="alias/none", **options):
    return run(lab, "owner", "encrypt", "-d", ROOT / "tests/quiet", "-k", key, "--name", "x", "-o", "x.cloister", *words, **options)


# --- words, files and directories ---------------------------------------------------------------------------------


@rows("usage", "usage-verb", "run-half", "quote", "enclave-name", "enclave-unknown", "no-enclave")
def test_what_was_typed(lab, package):
    check("usage", run(lab, "user", "run", "--nope"))
    check("usage-verb", run(lab, "user", "frobnicate"))
    check("run-half", run(lab, "user", "run", "-f", "probe.cloister"))
    check("quote", run(lab, "user", "run", "-f", "probe.cloister", "-s", "exit.py", "-a", '"never'))
    check("enclave-name", run(lab, "user", "up", "--name", "A B"))
    check("enclave-unknown", run(lab, "user", "run", "--name", "other", "--", *PROBE))
    check("no-enclave", run(lab, "user", "run", *PROBE, env={"CLOISTER_RUN": str(lab.root / "empty")}))


@pytest.mark.processes("--group is theirs")
@rows("group-unknown", "up-no-root", "not-yours", "sync-keep-no-root")
def test_who_may_use_an_enclave(lab, folder):
    check("group-unknown", run(lab, "user", "up", "--name", "other", "--group", "no-such-group"))
    home, programs = lab.root / "nobody", lab.root / "programs"
    for made in (home, programs):
        made.mkdir()
    shutil.copy(lab.cloister, programs)
    os.chown(home, NOBODY, NOBODY)
    lab.root.chmod(0o755)
    env = lab.environment("user") | {"HOME": str(home), "CLOISTER_HOME": f"{home}/home", "CLOISTER_RUN": f"{home}/run:{lab.root}/run"}

    def as_nobody(*words):
        return subprocess.run([programs / "cloister", *words], env=env, cwd=home, user=NOBODY, group=NOBODY, extra_groups=[],
                              capture_output=True, text=True, timeout=LONGEST)

    check("up-no-root", as_nobody("up", "--name", "mine"))
    check("not-yours", as_nobody("jobs"))
    done = run(lab, "user", "up", "--name", "shared", "--group", "nogroup")
    assert done.returncode == 0, done.stderr
    try:
        check("sync-keep-no-root", as_nobody("sync", "-d", "kept", "--ownership=keep", "--name", "shared"))
    finally:
        lab.ok("user", "down", "--force", "--name", "shared")


@rows("writes-consent", "no-bundles", "diagnose-no-key", "diagnose-other-key", "not-a-bundle")
def test_what_needs_consent(lab, folder, repository):
    package, _ = lab.encrypt(lab.talkative(repository), lab.make_key(), "talkative")
    shutil.copy(package, folder / "encrypted")
    check("writes-consent", run(lab, "user", "run", "talkative.cloister", "fail.py"))
    check("no-bundles", run(lab, "user", "run", "--diagnostics", "x", "--", *PROBE))
    bundle = lab.root / "user/failure.cldiag"
    run(lab, "user", "run", "--allow-write", "model", "--diagnostics", bundle, "--", "talkative.cloister", "fail.py")
    check("diagnose-no-key", run(lab, "user", "diagnose", bundle))
    lab.ok("stranger", "diagnose", "--public-key")
    check("diagnose-other-key", run(lab, "stranger", "diagnose", bundle))
    check("not-a-bundle", run(lab, "owner", "diagnose", package))


@rows("not-a-package", "package-cut", "package-header-cut", "package-missing", "script-missing", "share-shadow")
def test_what_is_in_the_folder(lab, folder):
    whole = (folder / "encrypted/probe.cloister").read_bytes()
    for name, content in {"not-a-package": b"text " * 100, "package-cut": whole[:-1000], "package-header-cut": whole[:50]}.items():
        (folder / "encrypted/bad.cloister").write_bytes(content)
        check(name, run(lab, "user", "run", "bad.cloister", *PROBE[1:]))
    check("package-missing", run(lab, "user", "run", "none.cloister", *PROBE[1:]))
    check("script-missing", run(lab, "user", "run", "probe.cloister", "none.py"))
    (folder / "usr").mkdir()
    check("share-shadow", run(lab, "user", "run", *PROBE))
    (folder / "usr").rmdir()
    assert run(lab, "user", "run", *PROBE).returncode == 0


@rows("sync-mounts")
def test_a_mount_too_many(lab, folder):
    more = ["second", "third", "fourth"]
    for name in more:
        lab.ok("user", "sync", "-d", name)
    check("sync-mounts", run(lab, "user", "sync", "-d", "fifth"))
    for name in more:
        lab.ok("user", "unsync", "-d", name)


@rows("sync-taken", "sync-exclusive")
def test_a_mount_of_its_own(lab, folder):
    check("sync-exclusive", run(lab, "user", "sync", "-d", "mine", "--exclusive"))
    lab.ok("user", "unsync", "-d", "shared")
    lab.ok("user", "sync", "-d", "mine", "--exclusive")
    check("sync-taken", run(lab, "user", "sync", "-d", "shared"))
    lab.ok("user", "unsync", "-d", "mine")
    lab.ok("user", "sync", "-d", "shared")


@rows("sync-mounted", "sync-not-empty", "sync-file", "sync-ownership", "unsync-none", "home-unwritable", "home-relative", "signers-malformed", "signers-none")
def test_directories_and_files_of_the_user(lab, folder):
    home = lab.root / "user"
    check("sync-mounted", run(lab, "user", "sync", "-d", "shared"))
    (home / "full").mkdir()
    (home / "full/file").write_text("mine")
    check("sync-not-empty", run(lab, "user", "sync", "-d", "full"))
    check("sync-file", run(lab, "user", "sync", "-d", "full/file"))
    assert (home / "full/file").read_text() == "mine"
    check("sync-ownership", run(lab, "user", "sync", "-d", "new", "--ownership=yours"))
    check("unsync-none", run(lab, "user", "unsync", "-d", "full"))
    done = run(lab, "user", "sync", "-d", "a/b/c")  # a missing parent is made
    assert done.returncode == 0, done.stderr
    lab.ok("user", "unsync", "-d", "a/b/c")
    check("home-unwritable", run(lab, "user", "jobs", env={"CLOISTER_HOME": "/proc/none"}))
    check("home-relative", run(lab, "user", "jobs", env={"CLOISTER_HOME": "here"}))
    known = home / "cloister/known_signers"
    before = known.read_text()
    known.write_text("# friends\nacme\n")
    check("signers-malformed", run(lab, "user", "run", *PROBE))
    known.write_text("")
    check("signers-none", run(lab, "user", "run", *PROBE))
    known.write_text(before)


@rows("encrypt-missing", "encrypt-unreadable", "encrypt-no-place", "encrypt-disk-full", "encrypt-key-unknown")
def test_encrypting(lab):
    key = lab.make_key()
    owner = lab.root / "owner"
    check("encrypt-missing", run(lab, "owner", "encrypt", "-d", "none", "-k", key, "--name", "x"))
    app = owner / "app"
    app.mkdir()
    (app / "main.py").write_text("print(1)\n")
    (app / "secret").write_text("x")
    (app / "secret").chmod(0)
    bounded = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")  # root as anybody: modes count
    before = set(os.listdir(owner))
    check("encrypt-unreadable", run(lab, "owner", "encrypt", "-d", app, "-k", key, "--name", "x", "-o", "x.cloister", before=bounded))
    check("encrypt-no-place", run(lab, "owner", "encrypt", "-d", app, "-k", key, "--name", "x", "-o", "no/such/x.cloister"))
    check("encrypt-key-unknown", run(lab, "owner", "encrypt", "-d", app, "-k", "alias/none", "--name", "x", "-o", "x.cloister"))
    assert set(os.listdir(owner)) == before
    small = lab.root / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", small], check=True)
    try:
        (app / "model").write_bytes(os.urandom(4 << 20))
        check("encrypt-disk-full", run(lab, "owner", "encrypt", "-d", app, "-k", key, "--name", "x", "-o", small / "x.cloister"))
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


@rows("legacy-other", "legacy-changed", "legacy-archive", "legacy-denied", "encrypt-what")
def test_what_of_the_old_sample_is_refused(lab):
    mine, theirs = lab.kms_client("owner").create_key()["KeyMetadata"]["Arn"], lab.make_key()
    good = seal(lab, mine, zipped(("run.py", "print(1)")))
    for row, data in {"legacy-other": b"PK" + good, "legacy-changed": good[:-8] + b"AAAAAAA=", "legacy-archive": seal(lab, mine, zipped(("../x", "y"))),
                      "legacy-denied": seal(lab, theirs, b"")}.items():
        (lab.root / "owner/old.zip.encrypted").write_bytes(data)
        check(row, run(lab, "owner", "encrypt", "--from-legacy", "old.zip.encrypted", "-k", theirs, "-o", "x.cloister"))
    check("encrypt-what", run(lab, "owner", "encrypt", "-k", theirs))
    assert not (lab.root / "owner/x.cloister").exists()


# --- credentials and KMS ------------------------------------------------------------------------------------------


@rows("credentials-none", "credentials-half", "credentials-wrong", "credentials-malformed", "credentials-expired", "throttled",
      "kms-silent-run", "kms-silent-encrypt", "kms-broken")
@pytest.mark.timeout(120)
def test_kms_and_credentials(lab, folder, fake):
    both = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    bad = lab.root / "credentials"
    bad.write_text("[default]\naws_access_key_id\n")
    check("credentials-none", run(lab, "user", "run", *PROBE, drop=both))
    check("credentials-half", run(lab, "user", "run", *PROBE, drop=both[1:]))
    check("credentials-malformed", run(lab, "user", "run", *PROBE, drop=both, env={"AWS_SHARED_CREDENTIALS_FILE": str(bad)}))
    fake.answer = (400, "ExpiredTokenException", "The security token included in the request is expired")
    check("credentials-expired", run(lab, "user", "run", *PROBE))
    assert fake.asked == 1
    fake.answer, fake.asked = (400, "ThrottlingException", "Rate exceeded"), 0
    check("throttled", run(lab, "user", "run", *PROBE))
    assert fake.asked == 4
    fake.answer = (500, "KMSInternalException", "again")
    check("kms-broken", encrypt(lab, env={"AWS_ENDPOINT_URL_KMS": fake.url}))
    fake.answer = None
    job = lab.start("user", "run", *PROBE)
    check("kms-silent-encrypt", encrypt(lab, env={"AWS_ENDPOINT_URL_KMS": fake.url}))
    check("kms-silent-run", ended(job))
    lab.ok("user", "proxy", "--stop")
    lab.ok("user", "proxy", "-s", "kms")
    check("credentials-wrong", run(lab, "user", "run", *PROBE, env={"AWS_SECRET_ACCESS_KEY": "x" * 40}))
    assert run(lab, "user", "run", *PROBE).returncode == 0


@rows("credentials-past", "credentials-sign-on", "credentials-code", "credentials-process", "credentials-hop", "credentials-scope")
def test_credentials_of_other_sources(lab, folder):
    none = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    config = lab.root / "config"
    config.write_text("[profile work]\nsso_session = x\n[profile boss]\nrole_arn = r\nsource_profile = work\nmfa_serial = m\n"
                      "[profile tool]\ncredential_process = /bin/false --key hush\n")
    for row, profile in (("credentials-sign-on", "work"), ("credentials-code", "boss"), ("credentials-process", "tool")):
        check(row, run(lab, "user", "run", *PROBE, drop=none, env={"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": profile}))
    check("credentials-past", run(lab, "user", "run", *PROBE, env={"AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}))
    check("credentials-scope", run(lab, "user", "run", "--credentials", "scoped", *PROBE))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        check("credentials-hop", run(lab, "user", "run", *PROBE, drop=none, env={"AWS_EC2_METADATA_DISABLED": "false",
                                                                                 "AWS_EC2_METADATA_SERVICE_ENDPOINT": place}))


@rows("proxy-none", "kms-down-run", "kms-down-encrypt", "proxy-twice")
def test_nobody_there(lab, folder):
    gone = {"AWS_ENDPOINT_URL_KMS": f"https://127.0.0.1:{laboratory.free_port()}"}
    check("proxy-twice", run(lab, "user", "proxy", "-s", "kms"))
    lab.ok("user", "proxy", "--stop")
    check("proxy-none", run(lab, "user", "run", *PROBE))
    assert run(lab, "user", "proxy", "-s", "kms", env=gone).returncode == 0
    check("kms-down-run", run(lab, "user", "run", *PROBE))
    check("kms-down-encrypt", encrypt(lab, env=gone))
    lab.ok("user", "proxy", "--stop")
    lab.ok("user", "proxy", "-s", "kms")
    assert run(lab, "user", "run", *PROBE).returncode == 0


@rows("key-revoked", "key-elsewhere")
def test_the_key(lab, folder, repository):
    key = lab.make_key()
    path, _ = lab.encrypt(repository / "tests/victims", key, "late")
    shutil.copy(path, folder / "encrypted")
    lab.ok("owner", "key", "revoke", "-k", key, "--all")
    check("key-revoked", run(lab, "user", "run", "late.cloister", *PROBE[1:]))
    # The user's KMS is another than the owner's: it knows the image, the caller and everything but the key.
    other = lab.root / "other-kms"
    lab.ok("owner", "kms", "init", "--dir", other, "--port", str(laboratory.free_port()))
    for name in ("server.pem", "server.key", "ca.pem"):
        shutil.copy(lab.kms / name, other)
    lab.ok("owner", "kms", "serve", "--dir", other, "--development-root", lab.root / "state/development-root/root.pem", "--detach")
    there = laboratory.read_env(other / "user.env")
    try:
        lab.ok("user", "proxy", "--stop")
        assert run(lab, "user", "proxy", "-s", "kms", env=there).returncode == 0
        check("key-elsewhere", run(lab, "user", "run", *PROBE, env=there))
    finally:
        lab.ok("owner", "kms", "stop", "--dir", other)
        lab.ok("user", "proxy", "--stop")
        lab.ok("user", "proxy", "-s", "kms")


@rows("kms-locked", "kms-port", "kms-not-serving")
def test_the_embedded_kms(lab):
    serve = ("kms", "serve", "--detach", "--dir")
    check("kms-locked", run(lab, "owner", *serve, lab.kms))
    port = lab.environment("owner")["AWS_ENDPOINT_URL_KMS"].rsplit(":", 1)[1]
    other = lab.root / "kms2"
    lab.ok("owner", "kms", "init", "--dir", other, "--port", port)
    check("kms-port", run(lab, "owner", *serve, other))
    check("kms-not-serving", run(lab, "owner", "kms", "stop", "--dir", other))
    # SIGTERM ends it, and it can be started again.
    third = lab.root / "kms3"
    lab.ok("owner", "kms", "init", "--dir", third, "--port", str(laboratory.free_port()))
    process = lab.start("owner", "kms", "serve", "--dir", third)
    assert process.stdout.readline().startswith(b"listening on ")
    process.send_signal(signal.SIGTERM)
    assert ended(process).returncode == 0
    lab.ok("owner", *serve, third)
    lab.ok("owner", "kms", "stop", "--dir", third)


CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *out) {
  int done = (int)syscall(SYS_clock_gettime, clock, out);
  if (clock == CLOCK_REALTIME) out->tv_sec += atoi(getenv("CLOCK_OFF"));
  return done;
}
"""


@rows("clock-off")
def test_a_clock_ten_minutes_off(lab, folder, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("SKIP: no C compiler for a wrong clock")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "clock.so", tmp_path / "clock.c"], check=True)
    for off in ("600", "-600"):
        done = run(lab, "user", "run", *PROBE, env={"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_OFF": off})
        check("clock-off", done)
    done = run(lab, "user", "run", *PROBE, env={"LD_PRELOAD": str(tmp_path / "clock.so"), "CLOCK_OFF": "60"})
    assert done.returncode == 0, done.stderr


# --- processes that end -------------------------------------------------------------------------------------------


@rows("enclave-died", "enclave-dead", "folder-gone", "proxy-dead")
def test_an_enclave_that_dies(lab, victim):
    job = victim.start_job()
    held = open(victim.folder / "dataset/held", "wb", buffering=0)
    proxy = victim.proxy()
    inside = processes_below(victim.pid())
    assert len(inside) >= (3 if lab.image else 6)
    os.kill(victim.pid(), signal.SIGKILL)
    begun = time.monotonic()
    check("enclave-died", ended(job))
    with pytest.raises(OSError) as failed:
        held.write(b"x")
    held_close(held)
    assert failed.value.errno in (5, 103, 107)  # EIO, ECONNABORTED, ENOTCONN
    wait_for(lambda: not os.path.ismount(victim.folder))
    assert time.monotonic() - begun < 10
    check("enclave-dead", victim.run())
    done = subprocess.run(["cat", victim.folder / "from_server.txt"], capture_output=True, text=True, timeout=10)
    check("folder-gone", done)
    assert "victim  DEAD" in lab.ok("user", "status")
    wait_for(lambda: not any(alive(pid) for pid in inside))
    check("proxy-dead", run(lab, "user", "proxy", "-s", "kms", "--name", "victim"))
    wait_for(lambda: not alive(proxy))
    victim.begin()  # the same name, the same directory
    assert victim.run().returncode == 0


def held_close(file):
    try:
        file.close()
    except OSError:
        pass


@pytest.mark.processes("a machine does not show those inside it")
@rows("keeper-died", "listener-died", "monitor-died", "launcher-died")
@pytest.mark.timeout(120)
def test_each_process_of_the_enclave_is_ended(lab, victim):
    def launcher():
        return next(pid for pid in direct_children(monitor()) if user_of(pid) == 0)

    def monitor():
        return direct_children(victim.pid())[0]

    # SIGTERM is for the monitor: those that are pid 1 of a namespace of their own, and launchers, do not end by it.
    job = victim.start_job()
    for pid in (victim.of_user(KEEPER), victim.of_user(LISTENER), victim.of_user(SHARE), launcher()):
        os.kill(pid, signal.SIGTERM)
    assert victim.run("--output", "beside", "--", *PROBE).returncode == 0
    laboratory.interrupt(job)
    assert code_of(ended(job)) == 130
    targets = {"keeper-died": (lambda: victim.of_user(KEEPER), signal.SIGKILL), "monitor-died": (monitor, signal.SIGTERM),
               "listener-died": (lambda: victim.of_user(LISTENER), signal.SIGKILL), "launcher-died": (launcher, signal.SIGKILL)}
    for name, (target, number) in targets.items():
        job = victim.start_job()
        os.kill(target(), number)
        check(name, ended(job))
        wait_for(lambda: not victim.job_processes())
        if name == "launcher-died":  # a job's own; the enclave goes on
            assert victim.run().returncode == 0
        else:
            pid = victim.pid()
            wait_for(lambda: not alive(pid) and not processes_below(pid))
            wait_for(lambda: not os.path.ismount(victim.folder))
            victim.end()
            victim.begin()


@rows("proxy-died")
def test_the_share_server_the_pump_and_the_proxy_are_ended(lab, victim):
    for target, number in ((lambda: victim.of_user(SHARE), signal.SIGKILL), (victim.pump, signal.SIGTERM)):
        wait_for(lambda: was_hit(target, number))
        wait_for(lambda: not os.path.ismount(victim.folder))
        wait_for(lambda: "hurt" not in lab.ok("user", "status"))
        victim.lab.sync("hurt", "victim")
    shutil.copy(victim.package, victim.folder / "encrypted")
    os.kill(victim.proxy(), signal.SIGTERM)
    wait_for(lambda: "none (cloister proxy" in lab.ok("user", "status"))
    check("proxy-died", victim.run())
    lab.ok("user", "proxy", "-s", "kms", "--name", "victim")
    assert victim.run().returncode == 0


def test_a_killed_pump_leaves_nothing_that_stays(lab, victim):
    """As after a reboot: a mount without its process, records of processes that are gone or have become others."""
    records = lab.root / "run/victim/mounts"
    for way in ("sync", "unsync", "status"):
        os.kill(victim.pump(), signal.SIGKILL)
        with pytest.raises(OSError) as failed:
            os.listdir(victim.folder)
        assert failed.value.errno in (103, 107)
        words = ["status"] if way == "status" else [way, "-d", "hurt"]
        lab.ok("user", *words, *(["--name", "victim"] if way == "sync" else []))
        if way != "sync":
            assert not os.path.ismount(victim.folder)
            victim.lab.sync("hurt", "victim")
        assert "from_server.txt" in os.listdir(victim.folder)
        assert len(list(records.glob("*.json"))) == 1
    proxy = lab.root / "run/victim/proxy.json"
    before = json.loads(proxy.read_text())
    os.kill(before["pid"], signal.SIGKILL)
    proxy.write_text(json.dumps(before | {"pid": os.getpid()}))  # its id belongs to another now
    assert "none (cloister proxy" in lab.ok("user", "status")
    lab.ok("user", "proxy", "-s", "kms", "--name", "victim")
    path = lab.root / "run/victim/enclave.json"
    record = json.loads(path.read_text())
    os.kill(record["pid"], signal.SIGKILL)
    path.write_text(json.dumps(record | {"pid": os.getpid()}))
    assert "victim  DEAD" in lab.ok("user", "status")
    lab.ok("user", "proxy", "--stop", "--name", "victim")
    wait_for(lambda: not os.path.ismount(victim.folder))
    victim.begin()
    assert victim.run().returncode == 0


def read_terminal(leader):
    """What is left to read once its program has ended."""
    text = b""
    try:
        while piece := os.read(leader, 1000):
            text += piece
    except OSError:
        pass  # EIO: nobody holds the other end any more
    return text.decode()


@rows("up-again", "down-busy", "down-no")
def test_up_and_down(lab, victim):
    check("up-again", run(lab, "user", "up", "--name", "victim"))
    job = victim.start_job()
    check("down-busy", run(lab, "user", "down", "--name", "victim"))
    for answer, code in (("n", 1), ("y", 0)):
        leader, follower = pty.openpty()
        asked = subprocess.Popen([lab.cloister, "down", "--name", "victim"], stdin=follower, stderr=follower, stdout=subprocess.PIPE,
                                 env=lab.environment("user"), start_new_session=True)
        os.close(follower)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(leader, 1000)
        os.write(leader, answer.encode() + b"\n")
        asked.wait(timeout=LONGEST)
        assert asked.returncode == code
        if answer == "n":
            text = read_terminal(leader).replace("\r\n", "\n").strip()
            check("down-no", subprocess.CompletedProcess([], code, "", text[text.index("cloister: "):]))
            assert job.poll() is None
        os.close(leader)
    assert code_of(ended(job)) == 125
    victim.begin()
    job = victim.start_job()
    lab.ok("user", "down", "--force", "--name", "victim")
    assert code_of(ended(job)) == 125


@pytest.mark.processes("what is shown is a lock on the host, before any backend")
@rows("up-twice")
def test_two_at_once(lab):
    one, other = (lab.start("user", "up", "--name", "pair") for _ in range(2))
    outcomes = sorted((ended(process) for process in (one, other)), key=lambda done: done.returncode)
    try:
        assert [done.returncode for done in outcomes] == [0, 1], outcomes
        check("up-twice", outcomes[1])
        assert "pair  running" in lab.ok("user", "status")
    finally:
        lab.ok("user", "down", "--name", "pair")


# --- Ctrl-C -------------------------------------------------------------------------------------------------------


@pytest.mark.processes("it stops single processes of the enclave")
@rows("ctrl-c")
def test_ctrl_c(lab, fake, victim):
    def interrupted(process):
        laboratory.interrupt(process)
        check("ctrl-c", ended(process, 10))

    owner = lab.root / "owner"
    before = set(os.listdir(owner))
    fake.asked = 0
    process = subprocess.Popen([lab.cloister, "encrypt", "-d", ROOT / "tests/quiet", "-k", "alias/x", "--name", "x", "-o", "x.cloister"],
                               cwd=owner, env=lab.environment("owner") | {"AWS_ENDPOINT_URL_KMS": fake.url},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: fake.asked > 0)
    interrupted(process)
    assert set(os.listdir(owner)) == before

    slow = lab.root / "slow-state"  # a certificate that never comes: the enclave cannot come up before Ctrl-C
    (slow / "development-root").mkdir(parents=True)
    os.mkfifo(slow / "development-root/root.pem", 0o600)
    process = subprocess.Popen([lab.cloister, "up", "--name", "brief"], env=lab.environment("user") | {"CLOISTER_STATE": str(slow)},
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: any("run/brief" in one for one in leftovers(lab)))
    interrupted(process)
    wait_for(lambda: not any("run/brief" in one for one in leftovers(lab)))
    assert "brief" not in lab.ok("user", "status")

    listener = victim.of_user(LISTENER)
    os.kill(listener, signal.SIGSTOP)
    process = lab.start("user", "sync", "-d", "never", "--name", "victim")
    wait_for(lambda: len(direct_children(process.pid)) == 1)
    interrupted(process)
    os.kill(listener, signal.SIGCONT)
    assert not os.path.ismount(lab.root / "user/never")

    lab.ok("user", "proxy", "--stop", "--name", "victim")
    process = lab.start("user", "proxy", "-s", "kms", "--foreground", "--name", "victim")
    wait_for((lab.root / "run/victim/parent/proxy.sock").exists)
    interrupted(process)
    lab.ok("user", "proxy", "-s", "kms", "--name", "victim")  # the socket it left is no obstacle
    assert victim.run().returncode == 0


@rows("ctrl-c-run")
def test_ctrl_c_of_a_run(lab, victim):
    job = victim.start_job()
    laboratory.interrupt(job)
    check("ctrl-c-run", ended(job))
    wait_for(lambda: not victim.job_processes())


def test_ctrl_c_of_a_sync_in_the_foreground(lab, victim):
    lab.ok("user", "unsync", "-d", "hurt")
    process = lab.start("user", "sync", "-d", "hurt", "--foreground", "--name", "victim")
    wait_for(lambda: os.path.ismount(victim.folder))
    laboratory.interrupt(process)
    assert ended(process).returncode == 0
    assert not os.path.ismount(victim.folder)


# --- a full share -------------------------------------------------------------------------------------------------


@pytest.mark.processes("--share-mib is theirs")
@rows("share-full")
def test_a_full_share(lab, package, folder):
    victim = Victim(lab, package)
    try:
        victim.begin(share_mib=16)
        job = victim.start_job()
        large = lab.root / "large"
        large.write_bytes(bytes(40 << 20))
        done = subprocess.run(["cp", large, victim.folder / "dataset"], capture_output=True, text=True, timeout=LONGEST)
        check("share-full", done)
        assert job.poll() is None
        theirs = lab.sync("theirs", "victim", "stranger")
        (theirs / "dataset/note").write_text("room for others")
        lab.ok("stranger", "unsync", "-d", "theirs")
        (victim.folder / "dataset/large").unlink()
        (victim.folder / "dataset/note").write_text("room again")
        laboratory.interrupt(job)
        ended(job)
        assert victim.run().returncode == 0
    finally:
        victim.end()


@pytest.mark.processes("--share-mib is theirs")
@rows("up-budget", "share-budget", "share-clients")
def test_no_folder_for_another_client(lab):
    check("up-budget", run(lab, "user", "up", "--name", "crowd", "--share-mib", "64", "--share-budget-mib", "32"))
    for words, row, clients in ((["--share-budget-mib", 1], "share-budget", 1), ([], "share-clients", 32)):
        lab.ok("user", "up", "--name", "crowd", "--share-mib", "1", *words)
        try:
            for number in range(clients):
                identity = wire.Identity(lab.root, f"client-{row}-{number}")
                with wire.Wire(lab.root / "run/crowd/control.sock", identity) as one:
                    assert one.ask("POST", "/v1/share", {"lanes": 1}).status == 200
            check(row, run(lab, "stranger", "sync", "-d", "crowded", "--name", "crowd"))
        finally:
            lab.ok("user", "down", "--force", "--name", "crowd")


def test_nothing_is_left(binaries, repository):
    """After `down` there is no process, mount or socket of the enclave."""
    lab = laboratory.Lab(binaries)
    try:
        lab.up()
        lab.sync("shared")
        lab.down()
        assert not any("kms serve" not in one for one in leftovers(lab)), leftovers(lab)
        assert not (lab.root / "run/default").exists()
    finally:
        lab.close()
