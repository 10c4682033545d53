"""`cloister up --backend nitro` with a stand-in for AWS's nitro-cli: what is asked of it, what is believed of it, and its errors."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import lab as laboratory
from test_image_format import image_of

SECONDS = 50
SECRET = "a secret that nobody else needs"


@pytest.fixture(scope="module")
def shim(repository, tmp_path_factory):
    path = tmp_path_factory.mktemp("shim") / "vsock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, repository / "tests/vsock_shim.c", "-ldl"], check=True)
    return path


class Host:
    """A machine with Nitro enclaves, as far as `cloister` can see."""

    def __init__(self, root, cloister, standin, shim):
        self.root, self.cloister, self.state = root, cloister, root / "nitro"
        (root / "bin").mkdir()
        (self.state / "vsock").mkdir(parents=True)
        shutil.copy(standin, root / "bin/nitro-cli")
        (root / "bin/nitro-cli").chmod(0o755)
        self.image = root / "e.eif"
        self.image.write_bytes(image_of([(1, b"kernel" * 99), (2, b"console=ttyS0"), (5, b"{}"), (3, b"init"), (3, b"application")]))
        self.environment = {"PATH": f"{root}/bin:/usr/bin:/bin", "HOME": str(root), "LC_ALL": "C.UTF-8", "CLOISTER_RUN": str(root / "run"),
                            "CLOISTER_HOME": str(root / "home"), "CLOISTER_STATE": str(root / "state"),
                            "NITRO_CLI_SOCKETS_PATH": str(self.state), "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET,
                            "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
                            "LD_PRELOAD": str(shim), "VSOCK_DIR": str(self.state / "vsock")}

    def run(self, *words):
        return subprocess.run([self.cloister, *map(str, words)], env=self.environment, cwd=self.root, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=SECONDS)

    def ok(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout

    def start(self, *words):
        return subprocess.Popen([self.cloister, *map(str, words)], env=self.environment, cwd=self.root, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def up(self, *words, image="e.eif"):
        return self.run("up", "--backend", "nitro", "--image", image, *words)

    def machine(self, **settings):
        (self.state / "machine.json").write_text(json.dumps(settings))

    def fails(self, command, code, **more):
        (self.state / "fail.json").write_text(json.dumps({"command": command, "code": code} | more))

    def listed(self):
        done = subprocess.run([self.root / "bin/nitro-cli", "describe-enclaves"], env=self.environment, capture_output=True, check=True)
        return json.loads(done.stdout)

    def asked(self, command):
        lines = [json.loads(line) for line in (self.state / "asked.jsonl").read_text().splitlines()]
        return [line for line in lines if line["words"][0] == command]

    def status(self, name="default"):
        found = [one for one in json.loads(self.ok("status", "--json"))["enclaves"] if one["name"] == name]
        return found[0] if found else None

    def nothing_runs(self):
        return self.listed() == [] and not list((self.root / "run").glob("*/enclave.json"))

    def close(self):
        (self.state / "fail.json").unlink(missing_ok=True)
        for one in self.listed():
            os.kill(one["ProcessID"], signal.SIGKILL)


@pytest.fixture
def host(short_dir, binaries, repository, shim):
    made = Host(short_dir, str(binaries["cloister"]), repository / "tests/nitro_cli_standin.py", shim)
    yield made
    made.close()


def test_up_status_down(host):
    done = host.up("--memory", 512, "--cpus", 2)
    assert done.returncode == 0 and "enclave 'default' is up (AWS Nitro" in done.stderr, done
    measured = json.loads(host.ok("image", "measure", "e.eif"))["Measurements"]
    assert f"PCR0 {measured['PCR0']}\ncontrol vsock://16:5000\n" == done.stdout
    record = json.loads((host.root / "run/default/enclave.json").read_text())
    enclave, = host.listed()
    assert enclave["Measurements"] == measured and enclave["MemoryMiB"] == 512 and enclave["NumberOfCPUs"] == 2
    assert (record["backend"], record["mode"], record["machine"], record["pid"]) == (
        "nitro", "production", enclave["EnclaveID"], enclave["ProcessID"])
    assert (record["control"], record["lanes"], record["proxy"]) == ("vsock://16:5000", "vsock://16:5001", "vsock://3:8001")
    status = host.status()
    assert (status["backend"], status["mode"], status["confidential"], status["running"], status["pcr0"]) == (
        "nitro", "production", True, True, measured["PCR0"])
    assert "Started enclave with enclave-cid: 16" in host.ok("logs")
    again = host.up()
    assert again.returncode == 1 and "enclave 'default' is running already" in again.stderr
    host.ok("down")
    assert host.nothing_runs() and not (host.root / "run/default").exists()


def test_what_nitro_cli_is_asked_and_given(host):
    assert host.up("--memory", 600, "--cpus", 4, "--enclave-cid", 77).returncode == 0
    asked, = host.asked("run-enclave")
    assert asked["words"] == ["run-enclave", "--eif-path", str(host.image), "--memory", "600", "--cpu-count", "4", "--enclave-name",
                              "cloister-default", "--enclave-cid", "77"]
    # Its process stays as long as the enclave: no credentials of whoever typed `up`.
    assert SECRET not in json.dumps(asked["environment"]) and "LD_PRELOAD" not in asked["environment"]
    pid = host.listed()[0]["ProcessID"]
    assert SECRET.encode() not in open(f"/proc/{pid}/environ", "rb").read()


def test_defaults_are_the_images(host):
    assert host.up().returncode == 0
    words = host.asked("run-enclave")[0]["words"]
    assert words[words.index("--memory") + 1] == "1024" and words[words.index("--cpu-count") + 1] == "2"


def test_a_debug_enclave_shows_its_console(host):
    done = host.up("--debug", "--name", "dbg")
    assert done.returncode == 0 and "NOT confidential" in done.stderr, done
    status = host.status("dbg")
    assert (status["mode"], status["confidential"]) == ("debug", False)
    laboratory.wait_for(lambda: "ready" in host.ok("console", "--name", "dbg"))
    said = host.ok("console", "--name", "dbg")
    assert "Successfully connected to the console." in said and "\x1b" not in said
    console = json.loads((host.root / "run/dbg/enclave.json").read_text())["console_pid"]
    host.ok("down", "--name", "dbg")
    assert host.nothing_runs()
    laboratory.wait_for(lambda: not os.path.exists(f"/proc/{console}"))


def test_without_debug_there_is_no_console(host):
    assert host.up().returncode == 0
    done = host.run("console")
    assert done.returncode == 1 and "hint: only an enclave started with --debug has one" in done.stderr


def test_an_enclave_that_ends_is_dead(host):
    assert host.up().returncode == 0
    os.kill(host.listed()[0]["ProcessID"], signal.SIGKILL)
    laboratory.wait_for(lambda: not host.status()["running"])
    assert "DEAD" in host.ok("status")
    assert "enclave 'default' has ended" in host.run("proxy", "--allow", "example.com:443").stderr
    assert host.up().returncode == 0  # in its place
    host.ok("down")
    assert host.nothing_runs()


def test_an_enclave_that_nitro_cli_does_not_list_is_dead(host):
    assert host.up().returncode == 0
    path, = host.state.glob("i-*.json")
    text = path.read_text()
    path.write_text(text.replace("RUNNING", "TERMINATING"))
    assert not host.status()["running"]
    path.rename(host.root / "away")
    assert not host.status()["running"]
    (host.root / "away").rename(path)


def test_status_says_when_nitro_cli_fails(host):
    assert host.up().returncode == 0
    host.fails("describe-enclaves", "E07", where="cli")
    status = host.status()
    assert status["running"] and "may not read its own /run/nitro_enclaves (nitro-cli E07" in status["problem"]


def test_down_of_an_enclave_that_is_gone(host):
    assert host.up().returncode == 0
    os.kill(host.listed()[0]["ProcessID"], signal.SIGKILL)
    host.ok("down")
    assert not (host.root / "run/default").exists()


def test_down_that_fails_says_so_and_keeps_the_record(host):
    assert host.up().returncode == 0
    host.fails("terminate-enclave", "E38")
    done = host.run("down")
    assert done.returncode == 1 and "(nitro-cli E38" in done.stderr, done
    assert (host.root / "run/default/enclave.json").exists()


# --- what fails leaves nothing -----------------------------------------------------------------------------------


def refused(host, said, hint, *words, image="e.eif"):
    done = host.up(*words, image=image)
    assert done.returncode == 1 and len(done.stderr.splitlines()) <= 2, done
    assert re.search(said, done.stderr) and re.search(f"hint: .*{hint}", done.stderr), done.stderr
    (host.state / "fail.json").unlink(missing_ok=True)
    assert host.nothing_runs(), done


def test_what_the_machine_does_not_have(host):
    host.machine(memory_mib=2048, pool=[1, 3], threads=2)
    refused(host, r"less memory is set aside .*nitro-cli E27: Failed to allocate entire memory \(2048 MB remained\)\)", "host prepare --memory",
            "--memory", 4096)
    refused(host, "fewer processors .*nitro-cli E22: Insufficient CPUs available", "host prepare --cpus", "--cpus", 4)
    refused(host, "the driver refused the enclave .*E29: .*full CPU cores", "must be even", "--cpus", 1)
    big = host.root / "big.eif"
    big.write_bytes(image_of([(1, b"kernel"), (2, b""), (5, b"{}"), (3, bytes(40 << 20))]))
    refused(host, r"--memory is too small .*E26: At least 16\d MB", "up --memory", "--memory", 150, image=big)


@pytest.mark.parametrize("code, where, said", [
    ("E19", "process", "could not open or read a file"), ("E35", "process", "could not be read whole"), ("E36", "process", "did not boot"),
    ("E39", "cli", "lost the process"), ("E51", "cli", "no place for its files"), ("E05", "cli", "could not start the enclave's process"),
    ("E99", "process", "nitro-cli run-enclave")])
def test_errors_of_nitro_cli(host, code, where, said):
    host.fails("run-enclave", code, where=where, cause="the cause")
    refused(host, f"{said}.*{code}: the cause", "")
    assert f"[ {code} ]" in (host.root / "run/default/enclave.log").read_text()  # all of it


def test_the_manual_has_every_error(host, repository):
    """Each row of docs/nitro.md is what is printed, and no code that we know is missing there."""
    rows = re.findall(r"^\| `(E\d\d)` \| `(.*)` \| `(.*)` \|$", (repository / "docs/nitro.md").read_text(), re.MULTILINE)
    known = re.findall(r'\{"(E\d\d)"', (repository / "src/host/nitro_errors.cc").read_text())
    assert [code for code, _, _ in rows] == known and len(known) > 40
    for code, line, hint in rows:
        host.fails("run-enclave", code, where="cli", cause="the cause")
        assert host.up().stderr.splitlines() == [line.replace("…)", ": the cause)"), hint], code


def test_an_enclave_that_nitro_cli_left_behind_is_ended(host):
    host.machine(late_failure=True)
    refused(host, "did not boot", "--backend qemu")


def test_another_image_than_was_measured_is_ended(host):
    host.machine(measures={"PCR2": "ab" * 48})
    refused(host, "is not what nitro-cli started", "replaced")


def test_an_enclave_that_ends_at_once(host):
    host.machine(dies=True)
    done = host.up()
    assert done.returncode == 1 and "the enclave did not come up" in done.stderr and host.nothing_runs(), done


def test_what_cannot_start_is_not_tried(host):
    for words, said in ([["--cpus", 5000], "--cpus is at most"], [["--enclave-cid", 3], "--enclave-cid is 4 to"],
                        [["--share-mib", 64], "--share-mib"], [["--accelerator", "kvm"], "--accelerator is for the qemu backend"],
                        [["--memory", 2**40], "--memory is at most"]):
        done = host.up(*words)
        assert done.returncode == 1 and said in done.stderr, done
    assert "boots an image" in host.run("up", "--backend", "nitro").stderr
    assert "none.eif" in host.up(image="none.eif").stderr
    damaged = host.image.read_bytes()
    host.image.write_bytes(damaged[:-1])
    assert "e.eif" in host.up().stderr
    host.image.write_bytes(image_of([(1, b"kernel"), (2, b""), (5, b"{}"), (3, b"init")], flags=1))
    assert "is for arm64" in host.up().stderr
    assert not (host.state / "asked.jsonl").exists()
    assert "--enclave-cid is for the nitro backend" in host.run("up", "--backend", "qemu", "--enclave-cid", 16).stderr


def cpio(name, size):
    """A ramdisk with one file of zeros (newc, as the kernel reads it)."""
    def entry(name, size):
        fields = [0, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        return head + bytes(-len(head) % 4) + bytes(size + -size % 4)
    return gzip.compress(entry(name, size) + entry("TRAILER!!!", 0))


def test_memory_in_which_the_image_cannot_come_up(host):
    host.image.write_bytes(image_of([(1, b"kernel"), (2, b""), (5, b"{}"), (3, cpio("app", 100 << 20))]))
    done = host.up("--memory", 128)
    assert done.returncode == 1 and "128 MiB of memory are too little for e.eif" in done.stderr and "hint: --memory" in done.stderr, done
    assert not (host.state / "asked.jsonl").exists()


def test_a_machine_without_nitro_cli(host):
    (host.root / "bin/nitro-cli").rename(host.root / "nitro-cli")
    done = host.up()
    (host.root / "nitro-cli").rename(host.root / "bin/nitro-cli")
    assert done.returncode == 1 and "there is no nitro-cli on the PATH" in done.stderr and "--backend qemu" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_up_that_is_interrupted_leaves_no_enclave(host, number):
    host.machine(run_seconds=1)
    started = host.start("up", "--backend", "nitro", "--image", "e.eif")
    laboratory.wait_for((host.state / "booting").exists)
    started.send_signal(number)
    started.communicate(timeout=SECONDS)
    assert started.returncode == -number and host.nothing_runs()


def test_one_start_at_a_time(host):
    host.machine(run_seconds=0.5, pool=[1, 3, 5, 7, 9, 11])
    both = [host.start("up", "--backend", "nitro", "--image", "e.eif", "--memory", 512, "--name", name) for name in ("one", "two")]
    said = [one.communicate(timeout=SECONDS)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert {one["EnclaveName"] for one in host.listed()} == {"cloister-one", "cloister-two"}
    same = [host.start("up", "--backend", "nitro", "--image", "e.eif", "--memory", 512, "--name", "same") for _ in range(2)]
    said = [one.communicate(timeout=SECONDS)[1] for one in same]
    assert sorted(one.returncode for one in same) == [0, 1] and "'same' is" in "".join(said), said
    assert len(host.listed()) == 3


# --- the parent's side -------------------------------------------------------------------------------------------


def test_one_proxy_serves_all_enclaves_of_a_parent(host):
    for name in ("one", "two"):
        assert host.up("--name", name, "--memory", 512).returncode == 0
    host.ok("proxy", "--allow", "example.com:443", "--name", "one")
    assert (host.state / "vsock/3.8001").exists()
    done = host.run("proxy", "--allow", "example.com:443", "--name", "two")
    assert done.returncode == 1 and "hint: another enclave's proxy serves this one, too" in done.stderr, done
    host.ok("down", "--name", "one")


# --- whom to believe ---------------------------------------------------------------------------------------------


needs_enclave = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))


@needs_enclave
def test_only_amazons_root_vouches_for_a_nitro_enclave(lab, host):
    """A host that puts a simulated enclave behind the address, and says in its own record whom to trust."""
    lab.up()
    simulated = json.loads((lab.root / "run/default/enclave.json").read_text())
    host.machine(relay=simulated["control"].removeprefix("unix://"))
    assert host.up().returncode == 0  # somebody answers there
    record = host.root / "run/default/enclave.json"

    def attempts():
        yield host.run("jobs")
        yield host.run("run", "--credentials", "as-is", "--signer", "ab" * 32, "-f", "x.cloister", "-s", "x.py")
        yield host.run("sync", "-d", "folder")
        yield host.run("verify", "--image", host.root / "m.json")

    (host.root / "m.json").write_text(host.ok("image", "measure", "e.eif"))
    for done in attempts():
        assert done.returncode != 0 and "attestation" in done.stderr + done.stdout, done
    forged = json.loads(record.read_text())
    forged["attestation_root"] = simulated["attestation_root"]
    forged["measurements"] = json.dumps({"Measurements": json.loads(forged["measurements"])["Measurements"]})
    record.write_text(json.dumps(forged))
    (host.root / "m.json").write_text(simulated["measurements"])  # and even if the user is given the simulated ones
    done = host.run("run", "--credentials", "as-is", "--image", host.root / "m.json", "--signer", "ab" * 32, "-f", "x.cloister", "-s", "x.py")
    assert done.returncode == 125 and "attestation" in done.stderr, done
