"""Enclave images: AWS's own library and ours agree on every one, and what is damaged is refused with the reason."""

import datetime
import hashlib
import itertools
import json
import re
import shutil
import struct
import subprocess
import zlib

import pytest

pytest.importorskip("cryptography", reason="SKIP: needs python3-cryptography")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

pytestmark = pytest.mark.timeout(400)  # the first test that needs it compiles AWS's library

HEADER, SECTION_HEADER, CRC_AT, TABLE = 548, 12, 544, 32
KERNEL, COMMAND_LINE, RAMDISK, SIGNATURE, METADATA = 1, 2, 3, 4, 5
COMMAND = "reboot=k panic=30 pci=off"
CONTENTS = {"kernel": b"\x4d\x5a" + bytes(range(256)) * 9, "init": b"070701init" * 50, "app": b"070701app" * 3000, "more": b"x"}
DESCRIPTION = {"ImageName": "ocr", "ImageVersion": "1.0",
               "BuildMetadata": {"BuildTime": "2026-01-02T03:04:05+00:00", "BuildTool": "tool", "BuildToolVersion": "7", "OperatingSystem": "Linux",
                                 "KernelVersion": "6.12"},
               "DockerInfo": {"Id": "sha256:0", "Layers": [1, 2]}, "CustomMetadata": {"Owner": "acme"}}
HASHES = {"P-256": hashes.SHA256(), "P-384": hashes.SHA384(), "P-521": hashes.SHA512()}
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


# --- the format once more, as plainly as can be ---------------------------------------------------------------


def mend(image):
    crc = zlib.crc32(image[HEADER:], zlib.crc32(image[:CRC_AT]))
    return image[:CRC_AT] + struct.pack(">I", crc) + image[HEADER:]


def sections_of(image):
    out, at = [], HEADER
    while at < len(image):
        kind, _, size = struct.unpack(">HHQ", image[at:at + SECTION_HEADER])
        out.append((kind, image[at + SECTION_HEADER:at + SECTION_HEADER + size]))
        at += SECTION_HEADER + size
    return out


def image_of(sections, flags=0):
    body, offsets, sizes = b"", [], []
    for kind, data in sections:
        offsets.append(HEADER + len(body))
        sizes.append(len(data))
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    pad = [0] * (TABLE - len(sections))
    head = b".eif" + struct.pack(">HHQQHH", 4, flags, 1 << 30, 2, 0, len(sections))
    head += struct.pack(">64Q", *offsets, *pad, *sizes, *pad) + bytes(8)
    return mend(head + body)


def extended(*contents):
    return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(contents)).digest()).hexdigest()


# --- programs and files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    directory = tmp_path_factory.mktemp("parts")
    for name, content in CONTENTS.items():
        (directory / name).write_bytes(content)
    (directory / "metadata").write_text(json.dumps(DESCRIPTION, separators=(",", ":")))
    return directory


@pytest.fixture(scope="module")
def cloister(binaries, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")

    def run(*words):
        return subprocess.run([binaries["cloister"], "image", *map(str, words)], capture_output=True, text=True, timeout=50, cwd=home,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(home), "CLOISTER_HOME": str(home), "LC_ALL": "C.UTF-8"})

    return run


@pytest.fixture(scope="module")
def ours(binaries, parts):
    """Writes an image with our writer."""
    def write(path, architecture="x86_64", ramdisks=("init", "app"), metadata="metadata", command=COMMAND):
        words = [binaries["eif_tool"], path, architecture, parts / "kernel", command, parts / metadata, *(parts / one for one in ramdisks)]
        subprocess.run(words, check=True, timeout=50)
        return path

    return write


@pytest.fixture(scope="module")
def peer(binaries, repository):
    """Runs AWS's library. Compiled once for a build tree."""
    if shutil.which("cargo") is None:
        pytest.skip("SKIP: needs cargo, for the published library of the format")
    source = repository / "tests/interop/eif"
    try:
        fetched = subprocess.run(["cargo", "fetch", "--locked"], cwd=source, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("SKIP: cargo does not reach its registry, for the published library of the format")
    if fetched.returncode != 0:
        pytest.skip(f"SKIP: cargo cannot get the published library of the format: {fetched.stderr.strip().splitlines()[0]}")
    target = binaries.build / "eif-peer"
    subprocess.run(["cargo", "build", "--locked", "--offline", "--quiet", "--target-dir", target], cwd=source, check=True, timeout=350)

    def run(*words):
        done = subprocess.run([target / "debug/eif-peer", *map(str, words)], capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def theirs(peer, parts):
    """Writes an image with AWS's library."""
    def write(path, architecture="x86_64", ramdisks=("init", "app"), signer=("-", "-")):
        return peer("write", path, architecture, parts / "kernel", COMMAND, parts / "metadata", *signer, *(parts / one for one in ramdisks))

    return write


def make_signer(directory, curve="P-384", days=(-1, 30), traditional=False, key=None):
    """A key and its certificate: two paths."""
    key = key or ec.generate_private_key(CURVES[curve])
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme"), x509.NameAttribute(x509.NameOID.COMMON_NAME, "image signer")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + datetime.timedelta(days=days[0])).not_valid_after(now + datetime.timedelta(days=days[1]))
    certificate = builder.sign(key, HASHES[curve])
    form = serialization.PrivateFormat.TraditionalOpenSSL if traditional else serialization.PrivateFormat.PKCS8
    paths = directory / "signer-key.pem", directory / "signer.pem"
    paths[0].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return paths


def certificate_register(path):
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return extended(certificate.public_bytes(serialization.Encoding.DER))


def measured(cloister, path):
    done = cloister("measure", path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["Measurements"]


# --- both ways ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ("x86_64", "arm64"))
@pytest.mark.parametrize("ramdisks", (("init",), ("init", "app"), ("init", "app", "more")))
def test_both_write_the_same_bytes_and_measure_the_same(cloister, ours, theirs, peer, tmp_path, architecture, ramdisks):
    one, other = ours(tmp_path / "ours.eif", architecture, ramdisks), tmp_path / "theirs.eif"
    said = theirs(other, architecture, ramdisks)
    assert one.read_bytes() == other.read_bytes()
    there = peer("measure", one)
    assert measured(cloister, other) == said["Measurements"] == there["Measurements"]
    assert there["CheckCRC"] is True and there["Flags"] == (architecture == "arm64")
    described = json.loads(cloister("describe", other, "--json").stdout)
    assert described["Architecture"] == architecture and described["EifVersion"] == there["EifVersion"]
    first, rest = CONTENTS[ramdisks[0]], [CONTENTS[name] for name in ramdisks[1:]]
    assert said["Measurements"]["PCR0"] == extended(CONTENTS["kernel"], COMMAND.encode(), first, *rest)
    assert said["Measurements"]["PCR1"] == extended(CONTENTS["kernel"], COMMAND.encode(), first)
    assert said["Measurements"]["PCR2"] == extended(*rest)


@pytest.mark.parametrize("curve", CURVES)
def test_what_one_signs_the_other_verifies(cloister, ours, theirs, peer, tmp_path, curve):
    signer = make_signer(tmp_path, curve, traditional=curve != "P-521")
    image = ours(tmp_path / "image.eif")
    done = cloister("sign", image, "--key", signer[0], "--certificate", signer[1], "-o", tmp_path / "ours.eif")
    assert done.returncode == 0, done.stderr
    said = theirs(tmp_path / "theirs.eif", signer=signer)
    for path in (tmp_path / "ours.eif", tmp_path / "theirs.eif"):
        there = peer("measure", path)
        assert there["SignatureCheck"] is True and there["CheckCRC"] is True
        assert there["Measurements"] == measured(cloister, path) == said["Measurements"] == json.loads(done.stdout)["Measurements"]
        assert there["Measurements"]["PCR8"] == certificate_register(signer[1])
        verified = cloister("verify", path)
        assert verified.returncode == 0 and re.search("^good +signature +over PCR0", verified.stdout, re.M), verified.stderr
        described = json.loads(cloister("describe", path, "--json").stdout)
        assert described["SigningCertificate"] == there["SigningCertificate"] and described["SignatureCheck"] is True
    # But for the ECDSA signature itself, which is never twice the same, the two are one.
    mine, yours = (sections_of((tmp_path / name).read_bytes()) for name in ("ours.eif", "theirs.eif"))
    assert mine[:-1] == yours[:-1] and mine[-1][0] == yours[-1][0] == SIGNATURE


def test_a_signature_taken_over_is_refused_by_both(cloister, ours, peer, tmp_path):
    """The attack: an image of somebody else's below the certificate that a policy trusts."""
    signer = make_signer(tmp_path)
    good = ours(tmp_path / "good.eif")
    assert cloister("sign", good, "--key", signer[0], "--certificate", signer[1]).returncode == 0
    evil = ours(tmp_path / "evil.eif", ramdisks=("init", "more"))
    evil.write_bytes(image_of(sections_of(evil.read_bytes()) + sections_of(good.read_bytes())[-1:]))
    assert measured(cloister, evil)["PCR8"] == certificate_register(signer[1])  # what the certificate alone says
    assert peer("measure", evil)["SignatureCheck"] is False
    verified = cloister("verify", evil)
    assert verified.returncode == 1 and re.search("^BAD +signature +made for another image", verified.stdout, re.M)
    assert json.loads(cloister("describe", evil, "--json").stdout)["SignatureCheck"] is False
    assert "DOES NOT VERIFY" in cloister("describe", evil).stdout


def test_boundaries_are_not_measured(cloister, ours, peer, tmp_path):
    """Known and told in the specification: what the host can change below the same measurements. Nothing may rest on the command line alone."""
    image = ours(tmp_path / "image.eif")
    (_, kernel), (_, command), *others = sections_of(image.read_bytes())
    moved = tmp_path / "moved.eif"
    moved.write_bytes(image_of([(KERNEL, kernel + command[:9]), (COMMAND_LINE, command[9:]), *others]))
    assert measured(cloister, moved) == measured(cloister, image) == peer("measure", moved)["Measurements"]
    assert json.loads(cloister("describe", moved, "--json").stdout)["CommandLine"] == COMMAND[9:]


# --- the command line -----------------------------------------------------------------------------------------


def test_describe_has_the_shape_of_nitro_cli(cloister, ours, tmp_path):
    image = ours(tmp_path / "image.eif")
    described = json.loads(cloister("describe", image, "--json").stdout)
    assert list(described)[:4] == ["EifVersion", "Measurements", "IsSigned", "CheckCRC"]
    assert (described["IsSigned"], described["CheckCRC"], described["ImageName"], described["ImageVersion"]) == (False, True, "ocr", "1.0")
    assert described["Metadata"] == DESCRIPTION["BuildMetadata"] | {"DockerInfo": DESCRIPTION["DockerInfo"], "Owner": "acme"}
    assert described["CommandLine"] == COMMAND and [one["Size"] for one in described["Sections"]][0] == len(CONTENTS["kernel"])
    words = cloister("describe", image).stdout
    assert re.search(f"^boots with +{COMMAND}$", words, re.M) and re.search("^signature +none$", words, re.M)


def test_terminals_are_not_driven_by_an_image(cloister, ours, tmp_path):
    image = ours(tmp_path / "image.eif")
    sections = sections_of(image.read_bytes())
    sections[1] = (COMMAND_LINE, b"quiet\x1b]0;pwned\x07\r")
    sections[2] = (METADATA, sections[2][1].replace(b'"ocr"', b'"\\u001b[2J"'))
    image.write_bytes(image_of(sections))
    done = cloister("describe", image)
    assert done.returncode == 0 and "\x1b" not in done.stdout and "\\x1b" in done.stdout


def test_measurements_are_compared(cloister, ours, tmp_path):
    signer = make_signer(tmp_path)
    image, other = ours(tmp_path / "image.eif"), ours(tmp_path / "other.eif", command="quiet")
    shutil.copy(image, tmp_path / "signed.eif")
    assert cloister("sign", tmp_path / "signed.eif", "--key", signer[0], "--certificate", signer[1]).returncode == 0
    for path in (image, tmp_path / "signed.eif"):
        assert cloister("measure", path, "-o", path.with_suffix(".json")).returncode == 0
    verdicts = {(image, "image"): None, (tmp_path / "signed.eif", "image"): None, (tmp_path / "signed.eif", "signed"): None,
                (other, "image"): "PCR0: .* expected, .* found", (image, "signed"): "PCR8 is expected, and this image has none"}
    for (path, expected), why in verdicts.items():
        done = cloister("verify", path, "--measurements", tmp_path / f"{expected}.json")
        assert (done.returncode != 0) == (why is not None), done.stdout + done.stderr
        assert re.search(f"^BAD +measurements +{why}" if why else "^good +measurements", done.stdout, re.M)


def test_signing_over_the_file_itself_replacing_and_time(cloister, ours, tmp_path):
    image = ours(tmp_path / "image.eif")
    before = measured(cloister, image)
    key, certificate = make_signer(tmp_path)
    assert cloister("sign", image, "--key", key, "--certificate", certificate).returncode == 0
    assert measured(cloister, image) == before | {"PCR8": certificate_register(certificate)}
    again = cloister("sign", image, "--key", key, "--certificate", certificate)
    assert again.returncode == 1 and "is signed already\nhint: --replace" in again.stderr
    for at, why in (("2001-01-01T00:00:00Z", "not valid yet"), ("2099-01-01T00:00:00Z", "has expired"), ("yesterday", "")):
        done = cloister("verify", image, "--at", at)
        assert done.returncode == 1 and why in done.stderr
    key, certificate = make_signer(tmp_path, "P-256")
    size = image.stat().st_size
    assert cloister("sign", image, "--key", key, "--certificate", certificate, "--replace").returncode == 0
    assert measured(cloister, image) == before | {"PCR8": certificate_register(certificate)} and image.stat().st_size != size
    assert cloister("verify", image).returncode == 0


def test_signing_refuses(cloister, ours, tmp_path):
    image = ours(tmp_path / "image.eif")
    before = image.read_bytes()
    (tmp_path / "other").mkdir()
    key, certificate = make_signer(tmp_path)
    stranger, _ = make_signer(tmp_path / "other")
    (tmp_path / "two.pem").write_bytes(certificate.read_bytes() * 2)
    locked = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.pem").write_bytes(locked)
    attempts = [(stranger, certificate, "the key is not the certificate's"), (key, key, "no plain certificate"),
                (certificate, certificate, "private key"), (key, tmp_path / "two.pem", "2 certificates"),
                (key, tmp_path / "none", "No such file"), (tmp_path / "locked.pem", certificate, "hint: openssl pkcs8")]
    for days, why in (((-20, -1), "has expired"), ((1, 20), "not valid yet")):
        (tmp_path / why).mkdir()
        attempts.append((*make_signer(tmp_path / why, days=days), why))
    for key, certificate, why in attempts:
        done = cloister("sign", image, "--key", key, "--certificate", certificate, "-o", tmp_path / "out.eif")
        assert done.returncode == 1 and why in done.stderr, done.stderr
        assert not (tmp_path / "out.eif").exists() and image.read_bytes() == before


def test_usage(cloister, tmp_path):
    for words, why in (((), "give an image file, or --simulated"), (("x.eif", "--simulated"), "give an image file, or --simulated"),
                       ((tmp_path,), "is not a regular file"), ((tmp_path / "none.eif",), "No such file")):
        done = cloister("measure", *words)
        assert done.returncode == 1 and why in done.stderr, done.stderr


def test_key_policies_take_what_measure_writes(lab, ours, tmp_path):
    image = ours(tmp_path / "image.eif")
    real = tmp_path / "real.json"
    lab.ok("owner", "image", "measure", image, "-o", real)
    key = lab.ok("owner", "key", "create").strip()
    lab.ok("owner", "key", "allow", "-k", key, "--image", real)
    pcr0 = json.loads(real.read_text())["Measurements"]["PCR0"]
    assert pcr0 in lab.ok("owner", "key", "show", "-k", key, "--json")
    # For a key of AWS's (nothing is sent: there are no credentials) it goes on where a simulated one is refused.
    env = {name: value for name, value in lab.environment("owner").items() if not re.match("AWS_(ENDPOINT|ACCESS|SECRET|SESSION|PROFILE)", name)}
    for path, refused in ((real, False), (lab.measure(), True)):
        done = subprocess.run([lab.cloister, "key", "allow", "-k", key, "--image", path], env=env, cwd=tmp_path, text=True, capture_output=True, timeout=50)
        assert done.returncode == 1 and ("is the measurement of a simulated enclave" in done.stderr) == refused, done.stderr
        assert refused or "credentials" in done.stderr, done.stderr


# --- what is refused ------------------------------------------------------------------------------------------


def put(at, value):
    return lambda image: image[:at] + value + image[at + len(value):]


def offset(index):
    return 28 + 8 * index


def size(index):
    return 28 + 8 * TABLE + 8 * index


def number(value):
    return struct.pack(">Q", value)


def with_sections(change):
    return lambda image: image_of(change(sections_of(image)))


def changed(index, content):
    """Section `index` has other content; both headers know."""
    return with_sections(lambda all_: [(kind, content if i == index else data) for i, (kind, data) in enumerate(all_)])


def section_at(index):
    """Where the header of section `index` of the signed image stands."""
    sizes = [len(CONTENTS["kernel"]), len(COMMAND), len(json.dumps(DESCRIPTION, separators=(",", ":"))), len(CONTENTS["init"]), len(CONTENTS["app"])]
    return HEADER + sum(SECTION_HEADER + one for one in sizes[:index])


# Kernel, command line, metadata, two ramdisks, signature; the CRC of each is right.
DAMAGES = {
    "magic": (put(0, b".elf"), 'it does not begin with ".eif"'),
    "version 3": (put(4, b"\0\3"), "version 3 of the format"),
    "version 5": (put(4, b"\0\5"), "version 5 of the format"),
    "flags": (put(6, b"\0\2"), "a flag is set"),
    "high flag": (put(6, b"\x80\0"), "a flag is set"),
    "reserved": (put(24, b"\0\1"), "bytes 24 and 25"),
    "no sections": (put(26, b"\0\0"), "0 sections, where 4 to 32"),
    "fewer sections": (put(26, b"\0\5"), "places a section 5, and counts 5 only"),
    "more sections": (put(26, b"\0\7"), "section 6 is said to be at byte 0"),
    "33 sections": (put(26, b"\0\x21"), "33 sections"),
    "first offset": (put(offset(0), number(HEADER + 1)), "section 0 is said to be at byte 549"),
    "overlap": (put(offset(2), number(HEADER)), "section 2 is said to be at byte 548"),
    "offset of the future": (put(offset(5), number(1 << 63)), "section 5 is said to be at"),
    "unused offset": (put(offset(31), number(1)), "places a section 31"),
    "unused size": (put(size(6), number(1)), "places a section 6"),
    "size": (put(size(0), number(1)), "section 1 is said to be at"),
    "last size": (put(size(5), number(1)), "bytes after its last section"),
    "huge size": (put(size(5), number((1 << 64) - 1)), "reaches beyond the file's end"),
    "wrapping size": (put(size(0), number((1 << 64) - SECTION_HEADER)), "reaches beyond the file's end"),
    "unused field": (put(540, b"\1"), "bytes 540 to 543"),
    "unknown section": (put(section_at(2), b"\0\6"), "section 2: type 6 is unknown"),
    "section of no type": (put(section_at(0), b"\0\0"), "section 0: type 0 is unknown"),
    "section's flags": (put(section_at(3) + 2, b"\0\1"), "section 3: a flag is set"),
    "section's size": (put(section_at(4) + 4, number(5)), "section 4: 5 bytes by its own header"),
    "trailing byte": (lambda image: image + b"\0", "1 bytes after its last section"),
    "no kernel": (with_sections(lambda all_: all_[1:]), "not exactly one kernel"),
    "two kernels": (with_sections(lambda all_: all_[:1] + all_), "not exactly one kernel"),
    "no command line": (with_sections(lambda all_: all_[:1] + all_[2:]), "not exactly one command line"),
    "two command lines": (with_sections(lambda all_: all_ + all_[1:2]), "not exactly one command line"),
    "no metadata": (with_sections(lambda all_: all_[:2] + all_[3:]), "not exactly one metadata section"),
    "no ramdisk": (with_sections(lambda all_: all_[:3] + all_[5:]), "no ramdisk"),
    "two signatures": (with_sections(lambda all_: all_ + all_[5:]), "more than one signature"),
    "command line first": (with_sections(lambda all_: [all_[1], all_[0], *all_[2:]]), "its first section is not a kernel"),
    "metadata second": (with_sections(lambda all_: [all_[0], all_[2], all_[1], *all_[3:]]), "its second section is not a command line"),
    "ramdisk after the signature": (with_sections(lambda all_: all_ + all_[3:4]), "a ramdisk stands after the signature"),
    "empty kernel": (changed(0, b""), "section 0: a kernel of 0 bytes"),
    "long command line": (changed(1, b"x" * 2048), "section 1: a command line of 2048 bytes"),
    "NUL in the command line": (changed(1, b"quiet\0init=/bin/sh"), "a NUL in its command line"),
    "large metadata": (changed(2, b" " * (256 * 1024 + 1)), "section 2: a metadata of 262145 bytes"),
    "empty ramdisk": (changed(3, b""), "section 3: a ramdisk of 0 bytes"),
    "large signature": (changed(5, bytes(32769)), "section 5: a signature of 32769 bytes"),
    "signature of rubbish": (changed(5, b"\xff"), "signature section:"),
    "signature of nothing": (changed(5, b"\x80"), "signature section:"),
}


@pytest.fixture(scope="module")
def signed(cloister, ours, tmp_path_factory):
    directory = tmp_path_factory.mktemp("signed")
    signer = make_signer(directory)
    image = ours(directory / "image.eif")
    assert cloister("sign", image, "--key", signer[0], "--certificate", signer[1]).returncode == 0
    return image.read_bytes()


def check_refused(cloister, path, why):
    for verb in ("measure", "describe", "verify"):
        done = cloister(verb, path)
        lines = done.stderr.splitlines()
        assert done.returncode == 1 and done.stdout == "" and len(lines) == 1, done
        assert lines[0].startswith(f"cloister: {path}: ") and why in lines[0], lines[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_images_are_refused(cloister, signed, tmp_path, damage):
    change, why = DAMAGES[damage]
    path = tmp_path / "damaged.eif"
    path.write_bytes(mend(change(signed)))
    check_refused(cloister, path, why)


def test_images_cut_short_are_refused(cloister, signed, tmp_path):
    path = tmp_path / "cut.eif"
    starts = [section_at(index) for index in range(6)]
    for at in itertools.chain((0, 4, HEADER - 1), starts, (one + SECTION_HEADER for one in starts), (len(signed) - 1,)):
        path.write_bytes(signed[:at])
        check_refused(cloister, path, "cut short" if at >= HEADER else "not an enclave image")


def test_every_section_is_below_the_checksum(cloister, signed, tmp_path):
    path = tmp_path / "changed.eif"
    for index in range(6):
        at = section_at(index) + SECTION_HEADER
        path.write_bytes(put(at, bytes([signed[at] ^ 1]))(signed))
        check_refused(cloister, path, "damaged: its CRC is")
    path.write_bytes(put(8, b"\1")(signed))  # default memory, which nothing else checks
    check_refused(cloister, path, "damaged: its CRC is")


# --- the specification ----------------------------------------------------------------------------------------


def test_the_example_of_the_specification(cloister, binaries, repository, tmp_path):
    text = (repository / "docs/formats/eif.md").read_text()
    dump = re.search(r"```hex\n(.*?)```", text, re.S).group(1)
    expected = bytearray()
    for line in dump.splitlines():
        at, words = re.fullmatch(r"(\d+) +((?:[0-9a-f]{2} ?)+|zeros to (?:\d+))(?: +.*)?", line).groups()
        assert int(at) == len(expected), line
        expected += bytes(int(words.split()[-1]) - len(expected)) if words.startswith("zeros") else bytes.fromhex(words)
    for name, content in (("kernel", b"KERNEL"), ("init", b"first"), ("app", b"second")):
        (tmp_path / name).write_bytes(content)
    image = tmp_path / "image.eif"
    words = [binaries["eif_tool"], image, "x86_64", tmp_path / "kernel", "reboot=k", "-", tmp_path / "init", tmp_path / "app"]
    subprocess.run(words, check=True, timeout=50)
    assert image.read_bytes() == bytes(expected)
    for name, value in measured(cloister, image).items():
        assert name == "HashAlgorithm" or value in text, name
