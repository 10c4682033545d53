"""`cloister doctor`: what it says of machines that are directories, of services that answer wrongly, and of an enclave that runs."""

import email.utils
import grp
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

import lab as laboratory
from fake_aws import Instance, key
from fake_kms import FakeKms, Reply
from small_image import write_image

SECONDS = 30
ENCLAVES = 61234  # a group that no machine has
ROOT = Path(__file__).resolve().parent.parent
NOTHING_ASKED = {"AWS_EC2_METADATA_DISABLED": "true"}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAENVENVENVENV", "AWS_SECRET_ACCESS_KEY": "env/secret", "AWS_REGION": "eu-central-1"}

needs_root = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))


# --- the list of everything -----------------------------------------------------------------------------------------

def test_the_document_explains_every_check_and_no_other():
    code = re.findall(r'Check\{"([a-z0-9-]+)", "([^"]+)"\}', (ROOT / "src/doctor/finding.h").read_text())
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs/doctor.md").read_text(), re.MULTILINE)
    assert [name for name, _ in code] == [name for name, _, _ in rows], "the same, in the same order"
    assert len(code) > 40 and all(meaning and mend for _, meaning, mend in rows)


# --- machines that are directories ------------------------------------------------------------------------------------

class Machine:
    """An EC2 instance with two nodes, two threads to a core, and ec2-user in the group ne."""

    def __init__(self, root, cloister):
        self.root, self.cloister = root / "m", str(cloister)
        self.write("proc/sys/kernel/osrelease", "6.1.158-180.294.amzn2023.x86_64\n")
        self.write("proc/sys/kernel/arch", "x86_64\n")
        self.write("proc/sys/user/max_user_namespaces", "63000\n")
        self.write("proc/self/ns/user")
        self.write("proc/meminfo", "MemTotal:       33554432 kB\nMemFree:  1 kB\nMemAvailable:   20971520 kB\n")
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nec2-user:x:1000:1000::/home/ec2-user:/bin/bash\n")
        self.write("etc/nitro_enclaves/allocator.yaml", "---\nmemory_mib: 4096\ncpu_count: 4\n")
        self.write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
        self.write("sys/module/nitro_enclaves/parameters/ne_cpus", "9,11,13,15\n")
        self.write("sys/devices/system/cpu/present", "0-15\n")
        self.write("sys/devices/system/cpu/online", "0-8,10,12,14\n")
        self.write("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1\n")
        for cpu in range(16):
            self.write(f"sys/devices/system/cpu/cpu{cpu}/node{cpu % 2}/x")
        self.hugepages(0, 0)
        self.hugepages(1, 2048)
        for device in ("nitro_enclaves", "vsock", "fuse"):
            self.write(f"dev/{device}")
        self.write("usr/bin/fusermount3")
        (self.root / "usr/bin/fusermount3").chmod(0o4755)
        self.gid = ENCLAVES if os.geteuid() == 0 else os.getgid()  # only root can give a file to another group
        os.chown(self.root / "dev/nitro_enclaves", -1, self.gid)
        self.login(self.gid)
        self.group("ec2-user")
        self.bin = root / "bin"
        self.bin.mkdir()
        self.program("nitro-cli", 'echo "Nitro CLI 1.4.2"')
        self.environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(root), "CLOISTER_RUN": str(root / "run")} | NOTHING_ASKED | KEYS

    def write(self, path, text=""):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def program(self, name, script):
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def hugepages(self, node, pages, free=None):
        self.write(f"sys/devices/system/node/node{node}/meminfo", f"Node {node} MemTotal:       16777216 kB\nNode {node} MemFree:  8388608 kB\n")
        for name, count in (("nr_hugepages", pages), ("free_hugepages", pages if free is None else free)):
            self.write(f"sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/{name}", f"{count}\n")

    def login(self, *groups):
        ids = "\t1000\t1000\t1000\t1000"
        self.write("proc/self/status", f"Name:\tcloister\nUid:{ids}\nGid:{ids}\nGroups:\t10 {' '.join(map(str, groups))} \n")

    def group(self, *members):
        """The device's group, by the name that the machine of the test has for it."""
        try:
            name = grp.getgrgid(self.gid).gr_name
        except KeyError:
            name = str(self.gid)
        self.write("etc/group", f"wheel:x:10:\n{name}:x:{self.gid}:{','.join(members)}\n")

    def doctor(self, *words, **environment):
        done = subprocess.run([self.cloister, "doctor", "--root", self.root, "--json", *map(str, words)], capture_output=True, text=True,
                              timeout=SECONDS, env=self.environment | environment, check=False)
        assert done.stderr == "", done
        told = json.loads(done.stdout)
        assert done.returncode == (1 if told["problems"] else 0)
        return told


def wrong(told):
    """What is not fine: id → severity."""
    return {row["id"]: row["severity"] for row in told["findings"] if row["severity"] != "fine"}


def row(told, name):
    found = [row for row in told["findings"] if row["id"] == name]
    assert len(found) == 1, (name, told)
    return found[0]


@pytest.fixture
def machine(short_dir, binaries):
    return Machine(short_dir, binaries["cloister"])


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Unpacks to 400 MiB: it comes up with 832."""
    return write_image(tmp_path_factory.mktemp("image") / "e.eif", 400, memory_mib=2048)


def test_a_good_machine_gets_nothing_but_good_words(machine, image):
    told = machine.doctor("--offline", "--image", image)
    assert wrong(told) == {"credentials-expiry": "note"}, told
    assert told["backend"] == "nitro" and told["memory_mib"] == 2048 and 820 <= told["least_memory_mib"] <= 840
    assert {"nitro-device", "nitro-cli", "allocator", "cpus", "memory-node", "memory-file", "fusermount"} <= {row["id"] for row in told["findings"]}
    assert "1.4.2" in row(told, "nitro-cli")["what"]


def test_memory_is_predicted(machine, image, short_dir):
    assert wrong(machine.doctor("--offline", "--image", image, "--memory", 768))["memory-image"] == "problem"
    assert wrong(machine.doctor("--offline", "--image", image, "--memory", 900))["memory-image"] == "warning"
    (short_dir / "data/deep").mkdir(parents=True)
    for number in range(3):
        with open(short_dir / f"data/deep/{number}", "wb") as file:
            file.truncate(200 << 20)
    told = machine.doctor("--offline", "--image", image, "--data", short_dir / "data")
    assert wrong(told)["data-folder"] == "problem" and "600 MiB" in row(told, "data-folder")["what"]
    advised = int(re.search(r"--memory (\d+)", row(told, "data-folder")["mend"])[1])
    assert wrong(machine.doctor("--offline", "--image", image, "--data", short_dir / "data", "--memory", advised)) == {"credentials-expiry": "note"}


def test_hugepages_in_pieces_are_no_memory(machine, image):
    machine.hugepages(0, 1024)
    machine.hugepages(1, 1024)
    told = machine.doctor("--offline", "--image", image, "--memory", 4096)
    assert wrong(told) == {"credentials-expiry": "note", "memory-node": "problem"}
    assert "only 2048 of them on node 1" in row(told, "memory-node")["what"] and "cloister host prepare" in row(told, "memory-node")["mend"]


def test_what_is_missing_is_named(machine, image):
    (machine.root / "dev/nitro_enclaves").unlink()
    (machine.root / "dev/fuse").unlink()
    (machine.root / "usr/bin/fusermount3").chmod(0o755)
    (machine.bin / "nitro-cli").unlink()
    machine.write("proc/sys/kernel/osrelease", "5.4.0-1\n")
    told = machine.doctor("--offline", "--image", image, "--backend", "nitro")
    assert wrong(told) == {name: "problem" for name in ("nitro-device", "fuse", "fusermount", "nitro-cli", "kernel")} | {"credentials-expiry": "note"}


def test_the_group_is_looked_at(machine, image):
    machine.login()
    told = machine.doctor("--offline", "--image", image)
    assert "before that" in row(told, "nitro-group")["what"] and row(told, "nitro-group")["mend"].startswith("log in again")
    machine.group()
    told = machine.doctor("--offline", "--image", image)
    assert row(told, "nitro-group")["severity"] == "problem" and "usermod -aG" in row(told, "nitro-group")["mend"]


def test_processors_come_in_cores(machine, image):
    told = machine.doctor("--offline", "--image", image, "--cpus", 3)
    assert row(told, "cpus")["severity"] == "problem" and row(told, "cpus")["mend"] == "--cpus 4"
    assert "host prepare --cpus 6" in row(machine.doctor("--offline", "--image", image, "--cpus", 6), "cpus")["mend"]


def test_images_that_do_not_belong_here(machine, short_dir, image):
    other = write_image(short_dir / "arm.eif", 4, arm64=True, mode="emulated")
    told = wrong(machine.doctor("--offline", "--image", other))
    assert told["image-architecture"] == "problem" and told["image-mode"] == "problem"
    (short_dir / "cut.eif").write_bytes(image.read_bytes()[:-1])
    assert wrong(machine.doctor("--offline", "--image", short_dir / "cut.eif"))["image-file"] == "problem"


def test_words_for_people(machine, image):
    words = [machine.cloister, "doctor", "--root", machine.root, "--offline", "--image", image, "--memory", "768"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, env=machine.environment, check=False)
    assert done.returncode == 1
    assert re.search(r"^memory\n  PROBLEM 768 MiB are too little .* \[memory-image\]\n          cloister up --backend nitro --image \S+ --memory \d+$",
                     done.stdout, re.MULTILINE), done.stdout
    assert " ok " not in done.stdout and re.search(r"predicted for backend nitro: 1 problem, 0 warnings; \d+ checks are fine", done.stdout)
    usage = subprocess.run([machine.cloister, "doctor", "--backend", "docker"], capture_output=True, text=True, timeout=SECONDS,
                           env=machine.environment, check=False)
    assert usage.returncode == 1 and "process, qemu or nitro" in usage.stderr


# --- the instance's metadata --------------------------------------------------------------------------------------------

def ask_instance(machine, url, **environment):
    for name in KEYS:
        if name != "AWS_REGION":
            environment.setdefault(name, "")
    # KMS is at a port where nobody listens.
    return machine.doctor("--backend", "nitro", AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=url,
                          AWS_ENDPOINT_URL_KMS="http://127.0.0.1:1", **environment)


def test_the_metadata_service(machine):
    instance = Instance("enclave-host")
    try:
        told = ask_instance(machine, instance.url)
        assert "enclave-host" in row(told, "metadata-role")["what"]
        assert row(told, "metadata-v1")["severity"] == row(told, "credentials-expiry")["severity"] == "fine"
        instance.document = {"Code": "Success"} | key("instance", expires=600)
        assert row(ask_instance(machine, instance.url), "credentials-expiry")["severity"] == "warning"
        instance.role = None
        told = wrong(ask_instance(machine, instance.url))
        assert told["metadata-role"] == "warning" and told["credentials"] == "problem"
        instance.tokens = False
        told = ask_instance(machine, instance.url)
        assert row(told, "metadata")["severity"] == "problem" and "405" in row(told, "metadata")["what"]
    finally:
        instance.close()


def test_an_answer_that_does_not_come_is_the_hop_limit(machine):
    machine.write(".dockerenv")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        told = ask_instance(machine, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert row(told, "metadata")["severity"] == "problem" and "container" in row(told, "metadata")["what"]
    assert "--http-put-response-hop-limit 2" in row(told, "metadata")["mend"]


# --- KMS ------------------------------------------------------------------------------------------------------------------

@needs_root
@pytest.mark.parametrize("ahead, severity", [(0, "fine"), (90, "warning"), (-90, "warning"), (420, "problem"), (-420, "problem")])
def test_the_clock(lab, machine, ahead, severity):
    fake = FakeKms(lab)
    fake.answer = lambda _: Reply(400, b"{}", (("Date", email.utils.formatdate(time.time() - ahead, usegmt=True)),))
    try:
        told = machine.doctor("--backend", "process", AWS_ENDPOINT_URL_KMS=fake.url, AWS_CA_BUNDLE=str(lab.kms / "ca.pem"))
        assert row(told, "clock")["severity"] == severity, told
    finally:
        fake.close()


def doctor(lab, *words):
    done = lab.run("user", "doctor", "--json", *words)
    assert done.returncode in (0, 1) and done.stderr == "", done
    return json.loads(done.stdout)


@needs_root
def test_an_enclave_from_before_to_its_proxy(lab, repository):
    """What stands in the way, one after the other, and then nothing."""
    (lab.root / "user/work").mkdir()
    package, signer = lab.encrypt(repository / "tests/victims", lab.make_key(), "probe")
    told = doctor(lab, "--package", package, "--data", "work")
    assert wrong(told).get("package-signer") == "problem" and row(told, "kms-right")["severity"] == "fine", told
    lab.ok("user", "signer", "add", "acme", signer)
    lab.ok("user", "up")
    lab.enclaves.append("default")
    told = doctor(lab, "--package", package)
    assert {name for name, how in wrong(told).items() if how == "problem"} == {"proxy"}, told
    assert doctor(lab, "--backend", "process")["problems"] == 2, "and it cannot be started twice"
    lab.ok("user", *row(told, "proxy")["mend"].split()[1:])
    told = doctor(lab, "--package", package)
    assert told["problems"] == 0 and row(told, "proxy")["severity"] == "fine", told
    lab.down()


@needs_root
def test_a_key_that_the_host_may_use_alone_is_said(lab, repository):
    """A policy that asks for no attestation, and a person without any right."""
    key_arn = lab.ok("owner", "key", "create").strip()
    package, _ = lab.encrypt(repository / "tests/victims", key_arn, "open")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"},
        {"Sid": "Open", "Effect": "Allow", "Principal": {"AWS": laboratory.HOST_ROLE}, "Action": "kms:Decrypt", "Resource": "*"}]}
    lab.kms_client("owner").put_key_policy(KeyId=key_arn, PolicyName="default", Policy=json.dumps(policy))
    told = doctor(lab, "--package", package)
    assert row(told, "kms-right")["severity"] == "warning" and "without an enclave" in row(told, "kms-right")["what"], told
    lab.kms_client("owner").disable_key(KeyId=key_arn)
    told = doctor(lab, "--package", package)
    assert row(told, "kms-right")["severity"] == "problem" and "DisabledException" in row(told, "kms-right")["what"], told
