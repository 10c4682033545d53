"""Packages of the old Python sample: made here as its encryptor made them, converted by their owner, run in an enclave; and what is
refused on the way, with nothing left behind."""

import json
import os
import random
import shutil
import struct

import pytest

import lab as laboratory
from legacy_packages import seal, zipped

pytestmark = pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))

SCRIPT = "import json, os, sys\nimport helper\nprint(json.dumps([sys.argv[1:], helper.WORD, oct(os.stat('tool').st_mode & 0o777)]))\n"
TREE = """import hashlib, json, os
found = []
for top, _, files in os.walk('.'):
    for path in [top] + [os.path.join(top, name) for name in files]:
        at = os.stat(path)
        content = hashlib.sha256(open(path, 'rb').read()).hexdigest() if os.path.isfile(path) else None
        if path != '.':
            found.append({'path': path, 'mode': oct(at.st_mode), 'content': content, 'time': at.st_mtime if content else 0})
print(json.dumps(sorted(found, key=lambda entry: (entry['content'] is None, entry['path']))))
"""
FILES = {"main/run.py": SCRIPT, "main/tree.py": TREE, "main/helper.py": "WORD = 'secret'\n", "tool": "#!/bin/sh\necho tool says $1\n", "model/weights.bin": "\0" * 3_000_000}


@pytest.fixture(scope="module")
def old_key(lab):
    """A key as the sample's user had one: its account may decrypt."""
    return lab.kms_client("owner").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture(scope="module")
def new_key(lab):
    return lab.make_key()


@pytest.fixture(scope="module")
def application(lab):
    path = lab.root / "owner/application"
    for name, text in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    (path / "tool").chmod(0o755)
    (path / "model/noise.bin").write_bytes(random.Random(1).randbytes(3_000_000))  # so that the token is read in many pieces
    (path / "empty").mkdir()
    return path


@pytest.fixture(scope="module")
def package(lab, old_key, application):
    """The sample's own way: shutil.make_archive, then its encryptor."""
    archive = shutil.make_archive(str(lab.root / "owner/code"), "zip", application)
    path = lab.root / "owner/application_code.zip.encrypted"
    path.write_bytes(seal(lab, old_key, open(archive, "rb").read()))
    return path


def convert(lab, file, key, *words, **options):
    return lab.run("owner", "encrypt", "--from-legacy", file, "-k", key, *words, **options)


def test_it_runs_as_the_directory_would(lab, package, new_key, application):
    done = convert(lab, package, new_key)
    assert done.returncode == 0, done.stderr
    assert "wrote application_code.cloister (application_code 1, without a manifest" in done.stderr
    lab.run("user", "signer", "add", "acme", done.stdout.split()[1])
    lab.up()
    folder = lab.sync("shared")
    shutil.copy(lab.root / "owner/application_code.cloister", folder / "encrypted")
    ran = lab.run("user", "run", "-f", "application_code.cloister", "-s", "main/run.py", "-a", "-x 'y z'")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [["-x", "y z"], "secret", "0o755"]
    ran = lab.run("user", "run", "application_code.cloister", "--", "tool", "hello")  # keeps its exec bit
    assert ran.stdout == "tool says hello\n", ran.stderr


def test_it_is_what_its_directory_gives(lab, package, new_key):
    """A job sees the same tree in both, and times to the 2 seconds that a zip has."""
    lab.ok("owner", "encrypt", "--from-legacy", package, "-k", new_key, "--name", "n", "-o", "converted.cloister")
    lab.ok("owner", "encrypt", "-d", "application", "-k", new_key, "--name", "n", "-o", "direct.cloister")
    trees = []
    for name in ("converted.cloister", "direct.cloister"):
        shutil.copy(lab.root / "owner" / name, lab.root / "user/shared/encrypted")
        trees.append(json.loads(lab.ok("user", "run", name, "--", "main/tree.py")))
    times = [[entry.pop("time") for entry in tree] for tree in trees]
    assert trees[0] == trees[1] and len(trees[0]) == len(FILES) + 4
    files = [(a, b) for a, b in zip(*times) if a and b]
    offset = files[0][0] - files[0][1]  # the clock of the zip has no zone
    assert len(files) == len(FILES) + 1 and all(abs(a - b - offset) <= 2 for a, b in files)


def bomb():
    """300 MiB of zeros."""
    return zipped(("zeros", bytes(300 << 20)))


REFUSED = {
    "dot-dot": (lambda: zipped(("../evil.py", "x")), "'..' is not a name"),
    "absolute": (lambda: zipped(("/tmp/evil.py", "x")), "absolute path"),
    "backslash": (lambda: zipped(("..\\evil.py", "x")), "a backslash"),
    "link": (lambda: zipped(("link", "/etc/passwd"), attributes=0o120777), "'link' is a link"),
    "device": (lambda: zipped(("null", ""), attributes=0o020666), "a device"),
    "twice": (lambda: zipped(("a", "x"), ("a", "y")), "'a' is there twice"),
    "bomb": (bomb, "more than 200 for one"),
    "trailing": (lambda: zipped(("a", "x")) + b"more", "something after it"),
    "leading": (lambda: b"more" + zipped(("a", "x")), "not where its end says"),
    "no-zip": (lambda: b"text" * 100, "no end of its directory"),
    "nothing": (lambda: b"", "shorter than an empty archive"),
    "manifest": (lambda: zipped(("cloister.yaml", "nonsense: true\n")), "cloister.yaml: "),
}


def left_behind(lab):
    return [path.name for path in (lab.root / "owner").iterdir() if path.name.startswith(("refused", "tmp-"))] + os.listdir(lab.root / "tmp")


def refuse(lab, monkeypatch, data, key, *reasons):
    """Converting fails with one line that gives one of the reasons, and leaves neither a package nor a temporary file."""
    (lab.root / "tmp").mkdir(exist_ok=True)
    plain = lab.environment
    monkeypatch.setattr(lab, "environment", lambda who: plain(who) | {"TMPDIR": str(lab.root / "tmp")})
    path = lab.root / "owner/bad.zip.encrypted"
    path.write_bytes(data)
    done = convert(lab, path, key, "--name", "refused", "-o", "refused.cloister")
    monkeypatch.undo()
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and done.stdout == "", done
    assert lines[0].startswith("cloister: ") and any(reason in lines[0] for reason in reasons), lines
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), lines
    assert left_behind(lab) == []
    return lines


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", REFUSED)
def test_archives_that_are_refused(lab, monkeypatch, old_key, new_key, name):
    make, reason = REFUSED[name]
    refuse(lab, monkeypatch, seal(lab, old_key, make()), new_key, reason)


def test_another_data_key(lab, monkeypatch, old_key, new_key):
    data = seal(lab, old_key, zipped(("a", "x")), plaintext_key=bytes(32))
    refuse(lab, monkeypatch, data, new_key, "not encrypted with this data key")


@pytest.mark.timeout(120)
def test_no_byte_may_change(lab, monkeypatch, old_key, new_key):
    """The length, the wrapped key, and bytes all over the token: version, timestamp, IV, ciphertext, HMAC."""
    data = seal(lab, old_key, zipped(("run.py", "print(1)\n"), ("b", "y" * 500)))
    token = 4 + struct.unpack(">I", data[:4])[0]
    places = [0, 3, 4, token - 1, token, token + 3, token + 8, token + 20, (token + len(data)) // 2, len(data) - 30, len(data) - 5]
    for at in places:
        changed = bytearray(data)
        changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
        refuse(lab, monkeypatch, bytes(changed), new_key, "Fernet token: ", "wrapped key of", "the sample's data key: KMS Decrypt: ", "ends before")
    for size in (0, 3, 4, 10, token, token + 1, token + 40, len(data) - 4, len(data) - 1):
        refuse(lab, monkeypatch, data[:size], new_key, "Fernet token: ", "ends before the token", "the sample's data key: ")
    refuse(lab, monkeypatch, data + b"\n", new_key, "cut, or not base64")
    refuse(lab, monkeypatch, data + data[token:], new_key, "Fernet token: ")


def test_whoever_may_not_decrypt_cannot_convert(lab, monkeypatch, new_key):
    """The key that only an enclave may use: KMS says no to its owner, too."""
    data = seal(lab, new_key, zipped(("a", "x")))
    lines = refuse(lab, monkeypatch, data, new_key, "the sample's data key: KMS Decrypt: AccessDeniedException")
    assert lines[1] == "hint: you need kms:Decrypt on the key that the sample used, in the region that AWS_REGION names"


def test_the_enclave_opens_no_such_thing(lab, package):
    folder = lab.root / "user/shared"
    shutil.copy(package, folder / "encrypted")
    done = lab.run("user", "run", "-f", package.name, "-s", "main/run.py")
    assert done.returncode == 125 and "not an encrypted package" in done.stderr, done


@pytest.mark.parametrize("words, reason", [
    ([], "give either --directory or --from-legacy"),
    (["-d", "application", "--from-legacy", "x"], "give either --directory or --from-legacy"),
], ids=["neither", "both"])
def test_one_of_two(lab, new_key, words, reason):
    done = lab.run("owner", "encrypt", "-k", new_key, *words)
    assert done.returncode == 2 and reason in done.stderr, done


def test_a_manifest_in_the_archive_counts(lab, old_key, new_key):
    path = lab.root / "owner/with.zip.encrypted"
    path.write_bytes(seal(lab, old_key, zipped(("run.py", "print(1)\n"), ("cloister.yaml", "entry_points: [run.py]\n"))))
    done = convert(lab, path, new_key)
    assert done.returncode == 0 and "(with 1, with a manifest)" in done.stderr, done.stderr


def test_nothing_of_it_is_in_an_enclave(binaries):
    """Neither the parser nor zlib is linked into what runs there."""
    for program in ("cloisterd", "cloisterd-sim"):
        symbols = binaries[program].read_bytes()
        for name in (b"FernetToken", b"ZipArchive", b"LegacyPackage", b"inflateInit2_"):
            assert name not in symbols, (program, name)
    assert b"FernetToken" in binaries["cloister"].read_bytes()  # so that the names are those to look for
