"""Boots images on QEMU's own `nitro-enclave` machine, and compares what it measures with what `cloister image measure` says.

    /usr/bin/python3 tests/soak/nitro_machine.py --qemu PATH/qemu-system-x86_64 [--seconds N]

QEMU reads and measures an image there with code of its own, which the backend *qemu* does not use (it splits the image and
feeds the emulated module itself). Debian's QEMU has no such machine, as it is built without libcbor. Build one, in 10 minutes on
two processors, from Debian's source (`apt-get source qemu` of trixie, 10.0.13; libcbor-dev, libgnutls28-dev, libfdt-dev,
libpixman-1-dev, libglib2.0-dev, ninja, flex, bison, and Meson 1.5 or newer in a venv): apply `disable-pycotap.patch` and
`skip-unpack-edk2-blobs.patch` of its debian/patches, then, in a new folder below it, `../configure --python=VENV/bin/python3
--target-list=x86_64-softmmu --without-default-features --enable-system --enable-tcg --enable-kvm --enable-fdt=system
--enable-libcbor --enable-gnutls --enable-vhost-user --enable-pixman --disable-docs --disable-tools --disable-download --disable-install-blobs` and
`ninja qemu-system-x86_64`. Firmware and vhost-device-vsock are those that packaging/qemu/fetch.sh has fetched (--fetched), the
kernel is that of `kernel/build.sh` (--kernel). Needs no root.

Exit code 1: a difference, each on a line that begins with BAD.
"""

import argparse
import contextlib
import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cbor2

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import wire  # noqa: E402  what other tests speak to enclaves with

INSTANCE, ROLE = "i-0123456789abcdef0", "arn:aws:iam::111122223333:role/enclave-host"
CONTROL_PORT, HEARTBEAT_PORT, HEARTBEAT = 5000, 9000, b"\xb7"
REGISTERS = 32
UNUSED = bytes(48)
CLOCK_SECONDS = 60  # by how much the document's time may differ from this machine's
RECIPE = "name: crosscheck\nversion: 1\nmode: emulated\n"


class Checks:
    def __init__(self):
        self.bad = 0

    def same(self, what, expected, seen):
        good = expected == seen
        self.bad += not good
        print(f"  {'same' if good else 'BAD '}  {what:10} {seen}" + ("" if good else f", not {expected}"), flush=True)


class Images:
    """Images made for this: without a root file system, with one, and signed."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.authority = self.certificate("authority", "P-256")
        (folder / "system/usr/bin").mkdir(parents=True)
        (folder / "system/usr/bin/hello").write_text("#!/bin/sh\necho hello\n")
        self.plain = self.build("plain", "base: none\n")
        self.filled = self.build("filled", "base: {directory: system}\ncommand_line: loglevel=4\n")
        self.signed = self.folder / "signed.eif"
        signer = self.certificate("signer", "P-384")
        self.cloister("image", "sign", self.filled, "--key", signer.with_suffix(".key"), "--certificate", signer, "-o", self.signed)

    def certificate(self, name, curve):
        path = self.folder / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-nodes", "-keyout",
                        path.with_suffix(".key"), "-subj", f"/CN={name}", "-days", "2", "-out", path], check=True, capture_output=True)
        return path

    def run(self, *words):
        environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.folder), "CLOISTER_HOME": str(self.folder)}
        return subprocess.run([self.options.programs / "cloister", *map(str, words)], env=environment, capture_output=True, text=True)

    def cloister(self, *words):
        done = self.run(*words)
        if done.returncode != 0:
            sys.exit(f"cloister {words[0]} {words[1]}: {done.stderr}")
        return done.stdout

    def build(self, name, base):
        recipe, image = self.folder / f"{name}.yaml", self.folder / f"{name}.eif"
        recipe.write_text(RECIPE + base)
        self.cloister("image", "build", recipe, "-o", image, "--kms-ca", self.authority, "--kernel", self.options.kernel)
        return image

    def measured(self, image):
        """PCR index → value, as `cloister` computes them."""
        said = json.loads(self.cloister("image", "measure", image))["Measurements"]
        return {int(name[3:]): bytes.fromhex(value) for name, value in said.items() if name.startswith("PCR")}

    def verified(self, document):
        path = self.folder / "document"
        path.write_bytes(document)
        done = self.run("verify", "--document", path, "--any-image")
        return "accepted" if done.returncode == 0 else "refused: " + done.stderr.splitlines()[0].split(": ", 2)[-1]


class Machine:
    """One image on one machine. Whatever it starts ends with it."""

    def __init__(self, options, image, folder):
        self.options, self.image, self.folder = options, image, folder
        self.vsock, self.device, self.console = folder / "vsock", folder / "device", folder / "console"
        self.beat, self.processes = None, []

    def __enter__(self):
        self.folder.mkdir()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.vsock}_{HEARTBEAT_PORT}")
        self.listener.listen(1)
        threading.Thread(target=self.answer_heartbeat, daemon=True).start()
        # With its default buffer of 65536 bytes vhost-device-vsock 0.3.0 hangs at a large send.
        self.start([self.options.fetched / "bin/vhost-device-vsock", "--vm",
                    f"guest-cid=16,socket={self.device},uds-path={self.vsock},tx-buffer-size=16384"])
        while not self.device.exists():
            time.sleep(0.05)
        firmware = [self.options.fetched / "root/usr/share" / name for name in ("qemu", "seabios")]
        self.start([self.options.qemu, "-M", f"nitro-enclave,vsock=v,id={INSTANCE}-enc0,parent-id={INSTANCE},parent-role={ROLE}",
                    *[word for path in firmware for word in ("-L", path)], "-kernel", self.image,
                    "-chardev", f"socket,id=v,path={self.device}", "-m", "512M", "-accel", "tcg", "-cpu", "max", "-display", "none",
                    "-monitor", "none", "-serial", f"file:{self.console}", "-no-reboot", "-append", "reboot=t cloister.parent_cid=2"])
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.listener.close()

    def start(self, words):
        with (self.folder / "log").open("ab") as log:
            self.processes.append(subprocess.Popen(list(map(str, words)), stdout=log, stderr=log))

    def answer_heartbeat(self):
        with contextlib.suppress(OSError):
            connection, _ = self.listener.accept()
            self.beat = connection.recv(1)
            connection.sendall(self.beat)
            connection.recv(1)

    def document(self, nonce):
        """The enclave's attestation document, as its supervisor gives it to a stranger with a key."""
        identity = wire.Identity(self.folder, "client")
        until = time.monotonic() + self.options.seconds
        while True:
            try:
                with wire.Wire(self.vsock, identity, attest=False, port=CONTROL_PORT) as connection:
                    answer = connection.attest(nonce.hex())
                    if answer.status == 200:
                        return answer.body
                    sys.exit(f"BAD: the enclave gives no document: {answer.body.decode()}")
            except (OSError, ssl.SSLError):  # before the guest has its driver, and then its supervisor
                if time.monotonic() > until or any(process.poll() is not None for process in self.processes):
                    sys.exit(f"BAD: the machine does not answer:\n{self.said()}")
                time.sleep(0.2)

    def said(self):
        parts = [path.read_text(errors="replace").splitlines()[-8:] for path in (self.folder / "log", self.console) if path.exists()]
        return "\n".join(line for part in parts for line in part)


def extended_once(text):
    """A register that was extended from zero by `text`: what PCR3 and PCR4 are."""
    return hashlib.sha384(UNUSED + text.encode()).digest()


def compare(checks, images, machine):
    nonce = secrets.token_bytes(32)
    whole = machine.document(nonce)
    document = cbor2.loads(cbor2.loads(whole)[2])
    measured = images.measured(machine.image)
    expected = dict.fromkeys(range(REGISTERS), UNUSED) | measured | {3: extended_once(ROLE), 4: extended_once(INSTANCE)}
    for index in sorted({0, 1, 2, 3, 4, 8} | set(measured)):
        checks.same(f"PCR{index}", expected[index].hex(), document["pcrs"].get(index, b"").hex())
    # QEMU names only those that are locked; what boot does not measure is locked by our init, empty.
    checks.same("locked", f"all {REGISTERS}", f"all {len(document['pcrs'])}")
    checks.same("others", [], [index for index in expected if document["pcrs"].get(index) != expected[index]])
    checks.same("nonce", nonce.hex(), document["nonce"].hex())
    checks.same("heartbeat", HEARTBEAT, machine.beat)
    checks.same("time", "now", "now" if abs(document["timestamp"] / 1000 - time.time()) < CLOCK_SECONDS else document["timestamp"])
    # QEMU does not sign. Nobody may take such a document for more than it is.
    checks.same("verify", "refused: attestation document: the algorithm is not ES384", images.verified(whole))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = Path(os.environ.get("CLOISTER_BUILD", ROOT / "build/dev"))
    parser.add_argument("--qemu", type=Path, required=True, help="a qemu-system-x86_64 that has the machine nitro-enclave")
    parser.add_argument("--fetched", type=Path, default=ROOT / ".cache/qemu", help="where packaging/qemu/fetch.sh has put its programs")
    parser.add_argument("--kernel", type=Path, default=ROOT / "build/kernel/bzImage", help="the images' kernel")
    parser.add_argument("--programs", type=Path, default=build / "bin", help="cloister, cloister-init and cloisterd")
    parser.add_argument("--seconds", type=int, default=120, help="for one machine to start")
    return parser.parse_args()


def main():
    chosen = options()
    machines = subprocess.run([chosen.qemu, "-M", "help"], capture_output=True, text=True, check=True).stdout
    if "nitro-enclave" not in machines:
        sys.exit(f"{chosen.qemu} has no machine nitro-enclave: see the beginning of this file")
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="cl-", dir="/tmp") as name:
        images = Images(chosen, Path(name))
        for image in (images.plain, images.filled, images.signed):
            print(f"{image.name}:", flush=True)
            with Machine(chosen, image, Path(name) / image.stem) as machine:
                compare(checks, images, machine)
    print(f"{checks.bad} differences" if checks.bad else "no difference")
    return 1 if checks.bad else 0


if __name__ == "__main__":
    sys.exit(main())
