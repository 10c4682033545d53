"""A whole installation in one short directory: an embedded KMS, an owner and a user with homes of their own, enclaves."""

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

# CLOISTER_TEST_BACKEND=qemu: every enclave of every test is a machine that boots an image, the same for all of them
# (tests/soak/README.md). Without it test_booted.py alone boots.
EVERYWHERE_BOOTED = os.environ.get("CLOISTER_TEST_BACKEND") == "qemu"
SLOWER = 6 if EVERYWHERE_BOOTED else 1  # a translated machine, against processes: what limits of time are multiplied by
COMMAND_SECONDS = 50
BOOTED_SECONDS = 200  # of a command whose work a translated machine does
HOST_ROLE = "arn:aws:iam::111122223333:role/enclave-host"
ROOT = Path(__file__).resolve().parent.parent
QEMU = ROOT / ".cache/qemu"  # ./dev fetches it
KERNEL = ROOT / "build/kernel/bzImage"  # and compiles this
MACHINE_MIB = 4096  # memory_mib of tests/soak/everything.yaml
BUILD_SECONDS = 500  # Debian's packages come over the network
UP_SECONDS = 240  # of a machine under QEMU, translated, on a busy processor
FIRST_JOB_USER, JOB_USERS = 61100, 64  # src/enclave/monitor.cc


def why_not():
    """Why an enclave cannot be started here, or None."""
    if os.geteuid() != 0:
        return "needs root, to build the walls of jobs"
    if not os.path.exists("/dev/fuse"):
        return "needs /dev/fuse, for the shared folder"
    return None


def why_not_booted():
    """Why no image can be booted here, or None."""
    if not os.access(QEMU / "bin/qemu-system-x86_64", os.X_OK):
        return f"needs QEMU 11 in {QEMU}: packaging/qemu/fetch.sh {QEMU}"
    if not KERNEL.exists():
        return f"needs the enclave's kernel: kernel/build.sh x86_64 {KERNEL.parent}"
    return why_not()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_env(path):
    """The variables that a shell file exports."""
    script = 'set -a; . "$0"; env -0'
    out = subprocess.run(["/bin/sh", "-c", script, str(path)], env={}, capture_output=True, check=True).stdout
    return dict(item.split("=", 1) for item in out.decode().split("\0") if "=" in item and not item.startswith("PWD="))


@functools.cache
def common_image(cloister):
    """An image for all laboratories of this run, and the directory of the key service whose authority it trusts."""
    directory = Path(tempfile.mkdtemp(prefix="cl-image-", dir="/tmp"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    kms, image = directory / "kms", directory / "enclave.eif"
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(directory), "LC_ALL": "C.UTF-8"}
    recipe = ROOT / "tests/soak/everything.yaml"
    for words in (["kms", "init", "--dir", kms],
                  ["image", "build", recipe, "-o", image, "--kms-ca", kms / "ca.pem", "--kernel", KERNEL]):
        subprocess.run([cloister, *map(str, words)], env=environment, check=True, capture_output=True, timeout=BUILD_SECONDS)
    return image, kms


class Lab:
    def __init__(self, binaries):
        self.root = Path(tempfile.mkdtemp(prefix="cl-", dir="/tmp"))
        self.cloister = str(binaries["cloister"])
        self.programs = Path(self.cloister).parent
        for name in ("owner", "user", "stranger", "run", "state"):
            (self.root / name).mkdir()
        self.kms = self.root / "kms"
        self.enclaves = []
        self.image = None  # an enclave image: then enclaves are machines that boot it
        self.ok("owner", "kms", "init", "--dir", self.kms, "--port", str(free_port()))
        if EVERYWHERE_BOOTED:
            self.image, authority = common_image(self.cloister)
            for name in ("ca.pem", "server.pem", "server.key"):
                shutil.copy(authority / name, self.kms / name)
        root_pem = self.root / "state/development-root/root.pem"
        self.ok("owner", "kms", "serve", "--dir", self.kms, "--development-root", root_pem, "--detach")

    # --- commands ---------------------------------------------------------------------------------------------

    def environment(self, who):
        env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.root / who), "LC_ALL": "C.UTF-8"}
        env |= {"AWS_EC2_METADATA_DISABLED": "true"}  # nothing is asked outside this machine
        env |= {"CLOISTER_HOME": str(self.root / who / "cloister")}
        env |= {"CLOISTER_STATE": str(self.root / "state"), "CLOISTER_RUN": str(self.root / "run")}
        env |= {"CLOISTER_QEMU": str(QEMU)}
        credentials = self.kms / ("owner.env" if who == "owner" else "user.env")
        return env | (read_env(credentials) if credentials.exists() else {})

    def start(self, who, *words, program=None, **options):
        return subprocess.Popen([program or self.cloister, *map(str, words)], cwd=self.root / who,
                                env=self.environment(who), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, who, *words, text=True, program=None, seconds=None):
        seconds = seconds or (BOOTED_SECONDS if self.image else COMMAND_SECONDS)
        return subprocess.run([program or self.cloister, *map(str, words)], cwd=self.root / who, stdin=subprocess.DEVNULL,
                              env=self.environment(who), capture_output=True, text=text, timeout=seconds)

    def ok(self, who, *words, **options):
        done = self.run(who, *words, **options)
        assert done.returncode == 0, f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    # --- roles ------------------------------------------------------------------------------------------------

    def backend(self, share_mib=None, budget_mib=None):
        """What `up` is told of the backend. A machine's folders have half of its memory: what tests say of them is for processes."""
        if self.image:
            return ["--backend", "qemu", "--accelerator", "tcg", "--image", self.image]
        how = ["--share-mib", share_mib] if share_mib else []
        return how + (["--share-budget-mib", budget_mib] if budget_mib else [])

    def up(self, name="default", program=None, **shares):
        self.ok("user", "up", "--name", name, *self.backend(**shares), program=program, seconds=UP_SECONDS)
        self.enclaves.append(name)
        self.ok("user", "proxy", "-s", "kms", "--name", name)

    def socket_of(self, what, name="default"):
        """Where `control` or `lanes` of an enclave are: for wire.connect."""
        if self.image:
            return self.root / "run" / name / "vm.vsock", {"control": 5000, "lanes": 5001}[what]
        return self.root / "run" / name / f"{what}.sock"

    def down(self, name="default"):
        self.enclaves.remove(name)
        self.ok("user", "down", "--force", "--name", name)

    def sync(self, folder, name="default", who="user"):
        self.ok(who, "sync", "-d", folder, "--name", name)
        return self.root / who / folder

    def measure(self):
        path = self.root / "measurements.json"
        self.ok("owner", "image", "measure", self.image or "--simulated", "-o", path)
        return path

    def build_image(self, recipe, seconds):
        """From now on enclaves boot an image of this recipe, whose authority for KMS is this laboratory's."""
        image = self.root / "enclave.eif"
        authority = self.environment("owner")["AWS_CA_BUNDLE"]
        self.ok("owner", "image", "build", recipe, "-o", image, "--kms-ca", authority, "--kernel", KERNEL, seconds=seconds)
        self.image = image
        return image

    def make_key(self, *releases):
        """A key that the enclave's image may use; its ARN."""
        key = self.ok("owner", "key", "create").strip()
        allowed = [word for release in releases for word in ("--release", release)]
        self.ok("owner", "key", "allow", "-k", key, "--image", self.measure(), "--principal", HOST_ROLE, *allowed)
        return key

    def encrypt(self, directory, key, name, release="1"):
        """Path of the package and its signer's fingerprint."""
        path = self.root / "owner" / f"{name}.cloister"
        said = self.ok("owner", "encrypt", "-d", directory, "-k", key, "--name", name, "--release", release, "-o", path)
        return path, said.split()[1]

    def publish(self, directory, folder, name, key=None):
        """Encrypts a directory under a key (default: a new one), puts the package into a folder, adds the signer; its fingerprint."""
        package, signer = self.encrypt(directory, key or self.make_key(), name)
        self.run("user", "signer", "add", "acme", signer)  # the same each time; whether it was known does not matter
        shutil.copy(package, folder / "encrypted")
        return signer

    def share_victims(self, repository):
        """Starts an enclave with a folder, and the victims in it as the package `probe`; returns the folder."""
        self.up()
        self.folder = self.sync("shared")
        self.signer = self.publish(repository / "tests/victims", self.folder, "probe")
        return self.folder

    def talkative(self, repository):
        """An application of the owner's that writes to model/ and makes diagnostic bundles for them: its directory."""
        application = self.root / "owner/talkative"
        shutil.copytree(repository / "tests/talkative", application)
        public_key = self.ok("owner", "diagnose", "--public-key").strip()
        with open(application / "cloister.yaml", "a", encoding="utf-8") as manifest:
            manifest.write(f"owner_key: {public_key}\n")
        return application

    def kms_client(self, who):
        """AWS's own client of the embedded key service."""
        import boto3  # only those who talk to it need it

        env = self.environment(who)
        return boto3.client("kms", region_name=env["AWS_REGION"], endpoint_url=env["AWS_ENDPOINT_URL_KMS"],
                            verify=env["AWS_CA_BUNDLE"], aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"])

    def enclave_processes(self, name="default"):
        """The process that `up` started, and all that descend from it. Of a machine that is QEMU, and says nothing of what
        runs inside: a test that asks is one of processes."""
        if EVERYWHERE_BOOTED:
            pytest.skip("of processes: a machine does not show those inside it")
        first = json.loads((self.root / "run" / name / "enclave.json").read_text())["pid"]
        children = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit():
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
            except OSError:
                pass  # it ended meanwhile
        found, waiting = set(), [first]
        while waiting:
            found.add(waiting[-1])
            waiting.extend(children.get(waiting.pop(), []))
        return found

    def job_processes(self, name="default"):
        """Those of them that run as a job's user; other installations of this machine may have jobs of their own. A machine
        does not show its processes: then the user's jobs that have not ended."""
        if self.image:
            jobs = json.loads(self.ok("user", "jobs", "--json", "--name", name))["jobs"]
            return [job["id"] for job in jobs if job["state"] in ("starting", "unpacking", "running")]
        found = []
        for pid in self.enclave_processes(name):
            try:
                if FIRST_JOB_USER <= os.stat(f"/proc/{pid}").st_uid < FIRST_JOB_USER + JOB_USERS:
                    found.append(pid)
            except OSError:
                pass  # it ended meanwhile
        return found

    def close(self):
        for name in list(self.enclaves):
            self.run("user", "down", "--force", "--name", name)
        self.run("owner", "kms", "stop", "--dir", self.kms)
        shutil.rmtree(self.root, ignore_errors=True)


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds * SLOWER
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def interrupt(process):
    process.send_signal(signal.SIGINT)
