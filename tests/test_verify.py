"""`cloister verify` on real documents and on forged ones."""

import base64
import json
import os
import re
import subprocess

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import lab as laboratory
import module_forge as forge
from module_forge import HOUR, array, blob, mapping, number, text

REAL = ("production-2022-10.cbor", "debug-2022-10.cbor", "debug-2023-09.cbor")
INSTANCES = {"production-2022-10.cbor": "i-020b6af9246d90e92", "debug-2022-10.cbor": "i-03ad7cdb817437eeb",
             "debug-2023-09.cbor": "i-0918f6c55e3b61d89"}


@pytest.fixture(scope="module")
def verify(binaries, tmp_path_factory):
    """Runs `cloister verify` in an empty home."""
    home = tmp_path_factory.mktemp("home")

    def run(*words, stdin=b""):
        return subprocess.run([binaries["cloister"], "verify", *map(str, words)], input=stdin, capture_output=True, timeout=50, cwd=home,
                              env={"PATH": "/usr/bin:/bin", "HOME": str(home), "CLOISTER_HOME": str(home), "LC_ALL": "C.UTF-8"})

    return run


@pytest.fixture
def image(tmp_path):
    """Writes a file of measurements."""
    def write(**pcrs):
        path = tmp_path / "measurements.json"
        path.write_text(json.dumps({"Measurements": {"HashAlgorithm": "Sha384 { ... }"} | pcrs}))
        return path

    return write


def published(facts, *indexes):
    return {f"PCR{index}": facts["production-2022-10.cbor"]["pcrs"][str(index)] for index in indexes}


def refused(done, why, hint=None):
    """Exit code 1, one line that says why, at most one hint."""
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1, (done.returncode, lines, done.stdout)
    assert lines[0].startswith("cloister: ") and why in lines[0], lines
    assert len(lines) <= 2 and all(line.startswith("hint: ") for line in lines[1:]), lines
    assert hint is None or hint in lines[1], lines


def accepted(done):
    assert (done.returncode, done.stderr) == (0, b""), (done.returncode, done.stderr, done.stdout)
    return done.stdout.decode()


# --- what people read -------------------------------------------------------------------------------------------------------


def test_a_document_that_matches_its_image(verify, data, facts, image):
    path = image(**published(facts, 0, 1, 2, 8))
    out = accepted(verify("--document", data / REAL[0], "--image", path))
    for line in (f"image      that of {path}: 4 of 4 expected PCRs match", "mode       not debug", "made       2022-10-13 08:58:02 UTC, ",
                 "parent     instance i-020b6af9246d90e92, enclave enc0183d09086c24190; PCR4 is that of this instance",
                 "vouched    AWS: the Nitro Enclaves root CN=aws.nitro-enclaves,OU=AWS,O=Amazon,C=US (SHA-256 641a0321",
                 "chain      5 certificates, P-384 with SHA-384, all valid at 2022-10-13 08:58:02 UTC; the first ends 2022-10-13 11:58:02 UTC",
                 "signature  ES384, verifies under the key of CN=i-020b6af9246d90e92-enc0183d09086c24190.us-east-1.aws",
                 "carries    nonce of 256 bytes, no user_data, no public_key", "verdict    no doubt"):
        assert line in out
    assert re.search(r"^  PCR0 +f4d48b81\w{88} matches$", out, re.MULTILINE)
    assert re.search(r"^  PCR3 +4a9329d6\w{88} not compared$", out, re.MULTILINE)
    assert "SIMULATED" not in out and "doubt  " not in out


DIFFERENCES = [  # what the file expects beside or instead of PCR0, why the document is refused
    ({"PCR2": "ab" * 48}, "PCR2: " + "ab" * 48 + " expected, d8f114da"),
    ({"PCR0": "ab" * 48}, "PCR0: " + "ab" * 48 + " expected, f4d48b81"),
    ({"PCR8": "ab" * 48}, "PCR8: " + "ab" * 48 + " expected, 8790eb3c"),
    ({"PCR3": "ab" * 48}, "PCR3: " + "ab" * 48 + " expected, 4a9329d6"),
    ({"PCR5": "ab" * 48}, "PCR5: zero"),
    ({"PCR31": "ab" * 48}, "PCR31: not in the document"),
    ({"PCR5": "00" * 48}, "PCR5: zero, as in debug mode, identifies nothing"),
    ({"PCR32": "ab" * 48}, "an unknown entry"),
    ({"Pcr1": "ab" * 48}, "an unknown entry"),
    ({"PCR1": "ab" * 32}, "PCR1: not 96 hexadecimal digits"),
]


@pytest.mark.parametrize("change,why", DIFFERENCES, ids=[why.split(" expected")[0][:30] for _, why in DIFFERENCES])
def test_every_register_in_the_file_has_to_match(verify, data, facts, image, change, why):
    accepted(verify("--document", data / REAL[0], "--image", image(**published(facts, 0, 1, 2, 8))))
    done = verify("--document", data / REAL[0], "--image", image(**published(facts, 0) | change))
    refused(done, why)
    if " expected, " in why:
        out = done.stdout.decode()
        assert "image      NOT that of" in out and "DIFFERS" in out and "verdict    DOUBTFUL" in out
        assert re.search(rf"^ +expected {'ab' * 48}$", out, re.MULTILINE)
        assert re.search(rf"^ +found    {why.rsplit(None, 1)[-1]}\w+$", out, re.MULTILINE)


def test_what_is_not_compared_is_said(verify, data):
    done = verify("--document", data / REAL[0])
    refused(done, "not compared with any image", "--image MEASUREMENTS.json")
    assert "image      not compared with any image\n" in done.stdout.decode()
    out = accepted(verify("--document", data / REAL[0], "--any-image"))
    assert "image      not compared with any image\n" in out


@pytest.mark.parametrize("name", REAL[1:])
def test_debug_mode_is_a_doubt(verify, data, facts, image, name):
    done = verify("--document", data / name, "--any-image")
    refused(done, "debug mode: PCR0, PCR1 and PCR2 are zero", "--allow-debug")
    assert "mode       DEBUG: PCR0, PCR1 and PCR2 are zero. No image is measured, and the host reads its console" in done.stdout.decode()
    accepted(verify("--document", data / name, "--any-image", "--allow-debug"))
    refused(verify("--document", data / name, "--allow-debug"), "not compared with any image")
    refused(verify("--document", data / name, "--allow-debug", "--image", image(**published(facts, 0))), "PCR0: zero")


@pytest.mark.parametrize("name", REAL)
def test_the_parent(verify, data, name):
    document, own = data / name, INSTANCES[name]
    out = accepted(verify("--document", document, "--any-image", "--allow-debug", "--parent", own))
    assert f"instance {own}, enclave enc" in out and "PCR4 is that of this instance" in out and "  --parent PCR4 is what you expect" in out
    done = verify("--document", document, "--any-image", "--allow-debug", "--parent", "i-0123456789abcdef0")
    refused(done, "PCR4 is not that of i-0123456789abcdef0")
    assert "  --parent PCR4 is NOT what you expect" in done.stdout.decode()
    refused(verify("--document", document, "--any-image", "--allow-debug", "--role", "arn:aws:iam::123456789012:role/Webserver"),
            "PCR3 is not that of arn:aws:iam::123456789012:role/Webserver")
    refused(verify("--document", document, "--parent", own + "0"), "--parent: not the id of an instance")
    refused(verify("--document", document, "--role", "Webserver"), "--role: not the ARN of a role")


def test_base64_and_standard_input(verify, data, tmp_path):
    raw = (data / REAL[0]).read_bytes()
    expected = accepted(verify("--document", data / REAL[0], "--any-image"))
    lines = base64.encodebytes(raw)
    for stdin in (raw, lines, base64.b64encode(raw), b"\n " + lines.replace(b"\n", b"\r\n")):
        assert accepted(verify("--document", "-", "--any-image", stdin=stdin)) == expected
    pasted = tmp_path / "pasted.txt"
    pasted.write_bytes(lines)
    assert accepted(verify("--document", pasted, "--any-image")) == expected
    for stdin, why in ((b"hello, world", "not a document in base64"), (lines[:-3], "base64"), (b"", "truncated"),
                       (b"A" * 40000, "larger"), (base64.b64encode(raw[:-1]), "truncated")):
        refused(verify("--document", "-", "--any-image", stdin=stdin), why)


TIMES = [  # --at, why not (None: accepted)
    ("2022-10-13T09:00:00Z", None),
    ("2022-10-13t11:00:00.123456+02:00", None),
    ("2022-10-13T04:30:00-04:30", None),
    ("2022-10-13T11:58:01Z", None),
    ("2022-10-13T11:58:02Z", "leaf: expired"),
    ("2022-10-13T08:57:58Z", "leaf: not valid yet"),
    ("2023-10-13T09:00:00Z", "leaf: expired"),
    ("2022-10-13", "not a time"),
    ("2022-10-13T09:00:00", "no zone"),
    ("2022-02-30T09:00:00Z", "no such day"),
    ("2022-10-13T24:00:00Z", "not a time"),
    ("2022-10-13T09:00:00.Z", "not a time"),
    ("2022-10-13T09:00:00Zulu", "no zone"),
    ("+022-10-13T09:00:00Z", "not a time"),
]


@pytest.mark.parametrize("at,why", TIMES, ids=[at for at, _ in TIMES])
def test_as_of_a_time(verify, data, at, why):
    done = verify("--document", data / REAL[0], "--any-image", "--at", at)
    if why is None:
        assert "judged     as of 2022-10-13 " in accepted(done)
    else:
        refused(done, why, "RFC 3339" if "time" in why or "no " in why else "judged at its own time")


def test_a_document_from_later_is_a_doubt(verify, tmp_path):
    later = number(forge.MILLIS + 10 * 60 * 1000)
    bytes_, pem = forge.make(entries=replaced("timestamp", later))
    (tmp_path / "later.cbor").write_bytes(bytes_)
    (tmp_path / "root.pem").write_bytes(pem)
    words = ("--document", tmp_path / "later.cbor", "--root", tmp_path / "root.pem", "--any-image")
    accepted(verify(*words))
    refused(verify(*words, "--at", "2023-11-14T22:13:20Z"), "made after the time it is judged at")


def test_json_has_every_fact(verify, data, facts, image):
    done = verify("--document", data / REAL[0], "--image", image(**published(facts, 0) | {"PCR8": "ab" * 48}), "--json",
                  "--parent", INSTANCES[REAL[0]])
    refused(done, "PCR8: ")
    out, known = json.loads(done.stdout), facts[REAL[0]]
    assert out["verdict"] == "doubtful" and [doubt["why"][:5] for doubt in out["doubts"]] == ["PCR8:"] and out["doubts"][0]["hint"]
    assert (out["module_id"], out["timestamp"], out["digest"], out["debug"]) == (known["module_id"], known["timestamp_ms"], "SHA384", False)
    assert {k: v for k, v in out["pcrs"].items() if set(v) != {"0"}} == known["pcrs"] and len(out["pcrs"]) == known["pcr_count"]
    assert (out["nonce"], out["user_data"], out["public_key"]) == (known["nonce"], None, None)
    assert {i: c["matches"] for i, c in out["image"]["pcrs"].items()} == {"0": True, "8": False}
    assert out["image"]["pcrs"]["8"] == {"expected": "ab" * 48, "found": known["pcrs"]["8"], "matches": False}
    assert out["parent"]["instance"] == INSTANCES[REAL[0]] and out["parent"]["pcr4_is_instance"]
    assert out["parent"]["demanded_instance"]["matches"] and out["parent"]["demanded_role"] is None
    assert out["root"]["aws"] and not out["root"]["simulated"] and out["root"]["sha256"].startswith("641a0321")
    assert len(out["chain"]) == 5 and out["chain"][-1]["sha256"] == out["root"]["sha256"] and out["judged_at"] == out["timestamp"]
    assert out["signature"]["algorithm"] == "ES384" and out["age_ms"] > 0
    good = json.loads(accepted(verify("--document", data / REAL[0], "--image", image(**published(facts, 0)), "--json")))
    assert (good["verdict"], good["doubts"]) == ("no doubt", [])
    broken = bytearray((data / REAL[0]).read_bytes())
    broken[-1] ^= 1
    done = verify("--document", "-", "--any-image", "--json", stdin=bytes(broken))
    refused(done, "signature does not verify")
    out = json.loads(done.stdout)
    assert out["verdict"] == "refused" and "signature does not verify" in out["doubts"][0]["why"] and "pcrs" not in out


def test_development_roots_are_said_loudly(verify, tmp_path):
    document, pem = forge.make()
    (tmp_path / "root.pem").write_bytes(pem)
    out = accepted(verify("--document", "-", "--any-image", "--root", tmp_path / "root.pem", stdin=document))
    assert "vouched    SIMULATED, not confidential: a development root, NOT AWS: CN=root,O=Forge" in out and "verdict    no doubt, but SIMULATED\n" in out
    refused(verify("--document", "-", "--any-image", stdin=document), "does not begin at the trusted root", "--root PEM")
    (tmp_path / "two.pem").write_bytes(pem + pem)
    refused(verify("--document", "-", "--root", tmp_path / "two.pem", stdin=document), "2 certificates, where one root is wanted")


def test_terminals_are_safe_from_documents(verify, tmp_path):
    document, pem = forge.make(entries=replaced("module_id", text("i\x1b[2J\nverdict    no doubt")))
    (tmp_path / "root.pem").write_bytes(pem)
    out = accepted(verify("--document", "-", "--any-image", "--root", tmp_path / "root.pem", stdin=document))
    assert "\x1b" not in out and out.count("\nverdict ") == 1


@pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))
@pytest.mark.timeout(180)
def test_a_running_enclave(lab, image):
    lab.up()
    published_by_owner = lab.measure()
    for words, source in (((), "enclave 'default', as noted at cloister up"), (("--image", published_by_owner), str(published_by_owner))):
        out = lab.ok("user", "verify", *words)
        assert re.search(rf"^image      that of {re.escape(source)}: (\d) of \1 expected PCRs match$", out, re.MULTILINE), out
        assert "SIMULATED, not confidential" in out and "by a fresh nonce" in out and "ago" in out or "just now" in out
    done = lab.run("user", "verify", "--image", image(PCR0="ab" * 48), "--json")
    out = json.loads(done.stdout)
    assert done.returncode == 1 and "PCR0: " + "ab" * 48 + " expected" in done.stderr
    assert out["verdict"] == "doubtful" and out["root"]["simulated"] and not out["root"]["aws"]
    for words, why in ((("--parent", INSTANCES[REAL[0]]), "PCR4 is not that of"), (("--at", "2022-10-13T09:00:00Z"), "go with --document")):
        done = lab.run("user", "verify", *words)
        assert done.returncode == 1 and why in done.stderr


# --- what verifiers in the wild forget --------------------------------------------------------------------------------------
# Each is made by a liar and refused for its own reason; its control is the nearest that an honest module might say, and verifies.


def replaced(name, value):
    return lambda entries: [[key, value if key == name else old] for key, old in entries]


def dropped(name):
    return lambda entries: [entry for entry in entries if entry[0] != name]


def pcrs(*pairs):
    return {"entries": replaced("pcrs", mapping([(key, value) for key, value in pairs]))}


def cert(level, **changes):
    return {"certificates": {level: changes}}


def ext(level, identifier, extension, critical=True):
    return cert(level, extensions={identifier: (extension, critical) if extension else None})


def raw(level, identifier, value, critical=True):
    return cert(level, extensions=forge.raw_extension(identifier, value, critical))


def numbers(edit):
    """A signature with r and s changed."""
    def change(signature):
        r, s = edit(int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))
        return r.to_bytes(48, "big") + s.to_bytes(48, "big")

    return {"signature": change}


def der_signature(signature):
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    return encode_dss_signature(int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big"))


def twin_root(bundle):
    """A self-signed root of the same name in the place of the real one."""
    return [forge.certificate("root", forge.KEYS["stranger"], "root", signer=forge.KEYS["stranger"]), *bundle[1:]]


def flipped(raw_bytes):
    return raw_bytes[:-1] + bytes([raw_bytes[-1] ^ 1])


def version_1(body):
    """Without the version, whose default is 1, and the extensions that only version 3 has."""
    assert body[:2] == b"\x30\x82" and body[4:9] == bytes.fromhex("a003020102")
    content = body[9:]
    at = content.rindex(b"\xa3")
    return forge.der(0x30, content[:at])


def other_identifier_inside(body):
    return body.replace(forge.ES384_IDENTIFIER, forge.ES256_IDENTIFIER, 1)


def doubled_extension(body):
    """basicConstraints once more at the end of the extensions."""
    at = body.index(bytes.fromhex("0603551d13")) - 2
    one = body[at:at + 2 + body[at + 1]]
    start = body.rindex(b"\xa3", 0, at)
    content = body[start:]
    inner = content[content.index(b"\x30", 1):]
    skip = 3 if inner[1] == 0x81 else 2
    extensions = forge.der(0xA3, forge.der(0x30, inner[skip:] + one))
    header = 4 if body[1] == 0x82 else 3
    return forge.der(0x30, body[header:start] + extensions)


PROTECTED_ES256 = mapping([(number(1), number(-7))])
PROTECTED_BOTH = mapping([(number(1), number(-35)), (number(4), blob(b"key"))])
PROTECTED_TWICE = mapping([(number(1), number(-35)), (number(1), number(-7))])
REGISTER = blob(bytes([1]) * 48)
NESTED = b"\x81" * 40 + b"\xf6"
BELOW_LEAF = {"certificates": {"instance": {"extensions": {forge.BASIC_CONSTRAINTS: (x509.BasicConstraints(False, None), True),
                                                           forge.KEY_USAGE: (forge.usage(digital_signature=True), True)}}}}

VECTORS = [  # what is wrong, how it is made, why it is refused[, the nearest honest thing]
    # the signature
    ("a byte of the signature changed", {"signature": flipped}, "signature does not verify"),
    ("a byte of the payload changed after signing", {"parts": lambda p: [*p[:2], p[2].replace(text("nonce") + blob(b"nonce"), text("nonce") + blob(b"nOnce")), p[3]]},
     "signature does not verify"),
    ("signed by another key than the leaf's", {"signer": forge.KEYS["stranger"]}, "signature does not verify"),
    ("signed by the instance's key", {"signer": forge.KEYS["instance"]}, "signature does not verify"),
    ("the payload alone signed, not Sig_structure", {"covered": lambda protected, payload: payload}, "signature does not verify"),
    ("the protected header not under the signature", {"covered": lambda protected, payload: forge.signed_bytes(b"", payload)},
     "signature does not verify"),
    ("external data under the signature", {"covered": lambda protected, payload: forge.signed_bytes(protected, payload, b"aad")},
     "signature does not verify"),
    ("r is zero", numbers(lambda r, s: (0, s)), "r or s is out of range"),
    ("s is zero", numbers(lambda r, s: (r, 0)), "r or s is out of range"),
    ("r and s are zero", numbers(lambda r, s: (0, 0)), "r or s is out of range"),
    ("r is the order of the curve", numbers(lambda r, s: (forge.ORDER, s)), "r or s is out of range"),
    ("s is the order of the curve", numbers(lambda r, s: (r, forge.ORDER)), "r or s is out of range"),
    ("s is above the order of the curve", numbers(lambda r, s: (r, (1 << 384) - 1)), "r or s is out of range"),
    ("the signature in DER", {"signature": der_signature}, "a signature of 10"),
    ("a signature as short as ES256's", {"signature": lambda s: s[:64]}, "a signature of 64 bytes"),
    ("no signature", {"signature": lambda s: b""}, "a signature of 0 bytes"),
    # COSE
    ("ES256 in the protected header", {"protected": PROTECTED_ES256}, "the algorithm is not ES384"),
    ("algorithm none: an empty protected map", {"protected": b"\xa0"}, "the key 1 is not here"),
    ("no protected header", {"protected": b""}, "CBOR at byte 0: truncated"),
    ("the algorithm as text", {"protected": mapping([(number(1), text("ES384"))])}, "not an integer"),
    ("the algorithm in the unprotected header", {"protected": b"\xa0", "unprotected": mapping([(number(1), number(-35))])},
     "more than 0 entries"),
    ("an unprotected header beside the protected one", {"unprotected": mapping([(number(4), blob(b"key"))])}, "more than 0 entries"),
    ("the algorithm twice in the protected header", {"protected": PROTECTED_TWICE}, "more than 1 entries"),
    ("more in the protected header", {"protected": PROTECTED_BOTH}, "more than 1 entries"),
    ("bytes after the protected header's map", {"protected": forge.PROTECTED + b"\0"}, "bytes after the end"),
    ("an algorithm not in its shortest form", {"protected": bytes.fromhex("a101390022")}, "not in its shortest form"),
    ("another tag than 18", {"whole": lambda m: b"\xd1" + m}, "the tag is not COSE_Sign1", {"whole": lambda m: b"\xd2" + m}),
    ("tag 18 twice", {"whole": lambda m: b"\xd2\xd2" + m}, "not an array", {"whole": lambda m: b"\xd2" + m}),
    ("five parts", {"parts": lambda p: [*p, b"\xf6"]}, "other than 4 entries"),
    ("three parts", {"parts": lambda p: p[:3]}, "other than 4 entries"),
    ("no payload: detached", {"parts": lambda p: [p[0], p[1], b"\xf6", p[3]]}, "not a byte string"),
    ("bytes after the message", {"whole": lambda m: m + b"\0"}, "bytes after the end"),
    ("cut short", {"whole": lambda m: m[:-1]}, "truncated"),
    ("larger than 16 KiB", {"whole": lambda m: m + bytes(16385 - len(m))}, "larger than 16384 bytes"),
    # the payload
    ("bytes after the payload's map", {"payload": lambda p: p + b"\0"}, "bytes after the end"),
    ("a field twice", {"entries": lambda e: [*e[:-1], ["digest", text("SHA384")]]}, "a map key stands twice"),
    ("a field twice, in a map of indefinite length", {"entries": dropped("nonce"), "payload": lambda p: b"\xbf" + p[1:] + text("digest") + text("SHA384") + b"\xff"},
     "a map key stands twice", {"payload": lambda p: b"\xbf" + p[1:] + b"\xff"}),
    ("a map of indefinite length without its end", {"payload": lambda p: b"\xbf" + p[1:]}, "truncated",
     {"payload": lambda p: b"\xbf" + p[1:] + b"\xff"}),
    ("an unknown field", {"entries": lambda e: [*e[:-1], ["extra", number(1)]]}, "an unknown field", {"entries": lambda e: e[::-1]}),
    *[(f"no {name}", {"entries": dropped(name)}, "a mandatory field is missing", {"entries": dropped("nonce")})
      for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")],
    ("module_id is null", {"entries": replaced("module_id", b"\xf6")}, "not a text string", {"entries": replaced("nonce", b"\xf6")}),
    ("an empty module_id", {"entries": replaced("module_id", text(""))}, "string shorter than 1", {"entries": replaced("module_id", text("x"))}),
    ("a module_id that is not UTF-8", {"entries": replaced("module_id", text(b"\xc0\x80"))}, "text is not UTF-8",
     {"entries": replaced("module_id", text("é"))}),
    ("an oversized module_id", {"entries": replaced("module_id", text("x" * 257))}, "string longer than 256",
     {"entries": replaced("module_id", text("x" * 256))}),
    ("an oversized nonce", {"entries": replaced("nonce", blob(bytes(513)))}, "string longer than 512", {"entries": replaced("nonce", blob(bytes(512)))}),
    ("an oversized user_data", {"entries": replaced("user_data", blob(bytes(513)))}, "string longer than 512",
     {"entries": replaced("user_data", blob(bytes(512)))}),
    ("an oversized public_key", {"entries": replaced("public_key", blob(bytes(1025)))}, "string longer than 1024",
     {"entries": replaced("public_key", blob(bytes(1024)))}),
    ("an oversized certificate", {"entries": replaced("certificate", blob(bytes(1025)))}, "string longer than 1024"),
    ("user_data nested 40 deep", {"entries": replaced("user_data", NESTED)}, "not a byte string"),
    ("a digest of SHA256", {"entries": replaced("digest", text("SHA256"))}, "digest: not SHA384"),
    ("a digest of SHA512", {"entries": replaced("digest", text("SHA512"))}, "digest: not SHA384"),
    ("a digest in small letters", {"entries": replaced("digest", text("sha384"))}, "digest: not SHA384"),
    ("a timestamp of 0", {"entries": replaced("timestamp", number(0))}, "integer outside 1 to"),
    ("a negative timestamp", {"entries": replaced("timestamp", number(-1))}, "integer outside 1 to"),
    ("a timestamp as a float", {"entries": replaced("timestamp", b"\xfb" + bytes(8))}, "not an integer"),
    # registers
    ("a PCR of 32 bytes", pcrs((number(0), blob(bytes(32)))), "PCR0: 32 bytes, SHA384 has 48", pcrs((number(0), REGISTER))),
    ("a PCR of 64 bytes", pcrs((number(0), blob(bytes(64)))), "PCR0: 64 bytes, SHA384 has 48", pcrs((number(0), REGISTER))),
    ("a PCR of 47 bytes", pcrs((number(0), blob(bytes(47)))), "PCR0: 47 bytes, SHA384 has 48", pcrs((number(0), REGISTER))),
    ("a PCR of 65 bytes", pcrs((number(0), blob(bytes(65)))), "string longer than 64", pcrs((number(0), REGISTER))),
    ("a PCR twice", pcrs((number(0), REGISTER), (number(0), blob(bytes(48)))), "a map key stands twice", pcrs((number(0), REGISTER), (number(1), REGISTER))),
    ("PCR32", pcrs((number(0), REGISTER), (number(32), REGISTER)), "integer above 31", pcrs((number(0), REGISTER), (number(31), REGISTER))),
    ("PCR-1", pcrs((number(0), REGISTER), (number(-1), REGISTER)), "not an unsigned integer"),
    ("a PCR named in text", pcrs((text("0"), REGISTER)), "not an unsigned integer", pcrs((number(0), REGISTER))),
    ("a PCR's index not in its shortest form", pcrs((bytes.fromhex("1800"), REGISTER)), "not in its shortest form", pcrs((number(0), REGISTER))),
    ("a PCR's length not in its shortest form", pcrs((number(0), bytes.fromhex("590030") + bytes([1]) * 48)), "not in its shortest form",
     pcrs((number(0), REGISTER))),
    ("no PCRs", pcrs(), "pcrs: empty", pcrs((number(0), REGISTER))),
    ("PCRs as an array", {"entries": replaced("pcrs", array([REGISTER]))}, "not a map"),
    # the bundle
    ("an empty bundle", {"bundle": lambda b: []}, "cabundle: empty"),
    ("a bundle of eight", {"bundle": lambda b: b + b}, "more than 7 entries"),
    ("a bundle without its root", {"bundle": lambda b: b[1:]}, "does not begin at the trusted root"),
    ("a bundle in the order of the chain", {"bundle": lambda b: b[::-1]}, "does not begin at the trusted root"),
    ("two authorities in the wrong order", {"bundle": lambda b: [b[0], b[2], b[1], b[3]]}, "path length exceeded"),
    ("an authority missing", {"bundle": lambda b: [b[0], b[1], b[3]]}, "issuer 1: issued by another"),
    ("an authority twice", {"bundle": lambda b: [b[0], b[1], b[1], b[2], b[3]]}, "path length exceeded"),
    ("another root of the same name", {"bundle": twin_root}, "does not begin at the trusted root"),
    ("a chain under another root of the same name, the real one in the bundle",
     {"certificates": {"regional": {"signer": forge.KEYS["stranger"]}}}, "issuer 3: signature does not verify"),
    ("an empty certificate in the bundle", {"entries": replaced("cabundle", array([blob(b"")]))}, "string shorter than 1"),
    # certificates
    *[(f"the signature of the {level} certificate changed", cert(level, der_edit=flipped), f"{place}: signature does not verify")
      for level, place in (("root", "root"), ("regional", "issuer 3"), ("zonal", "issuer 2"), ("instance", "issuer 1"), ("leaf", "leaf"))],
    *[(f"the {level} certificate expired", cert(level, end=0 * HOUR), f"{place}: expired", cert(level, end=HOUR / 3600))
      for level, place in (("root", "root"), ("regional", "issuer 3"), ("zonal", "issuer 2"), ("instance", "issuer 1"), ("leaf", "leaf"))],
    *[(f"the {level} certificate not valid yet", cert(level, start=HOUR / 3600), f"{place}: not valid yet", cert(level, start=0 * HOUR))
      for level, place in (("root", "root"), ("regional", "issuer 3"), ("zonal", "issuer 2"), ("instance", "issuer 1"), ("leaf", "leaf"))],
    ("a leaf that issues", BELOW_LEAF, "issuer 1: issues certificates but is no authority"),
    ("an authority in the place of the leaf", ext("leaf", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, None)),
     "leaf: an authority in the place of the leaf", ext("leaf", forge.BASIC_CONSTRAINTS, None)),
    ("an issuer without the CA flag", ext("zonal", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(False, None)), "issuer 2: issues certificates but is no authority"),
    ("an issuer without basicConstraints", ext("zonal", forge.BASIC_CONSTRAINTS, None), "issuer 2: issues certificates but is no authority"),
    ("basicConstraints that are not critical", ext("zonal", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, 1), False),
     "issuer 2: basicConstraints are not critical", ext("zonal", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, 1))),
    ("a longer path than the root allows", ext("root", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, 2)), "root: path length exceeded",
     ext("root", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, 3))),
    ("a longer path than an authority allows", ext("regional", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, 1)),
     "issuer 3: path length exceeded", ext("regional", forge.BASIC_CONSTRAINTS, x509.BasicConstraints(True, 2))),
    ("an issuer without keyCertSign", ext("instance", forge.KEY_USAGE, forge.usage(digital_signature=True)),
     "issuer 1: key usage does not include keyCertSign", ext("instance", forge.KEY_USAGE, forge.usage(digital_signature=True, key_cert_sign=True))),
    ("an issuer without key usage", ext("instance", forge.KEY_USAGE, None), "issuer 1: key usage does not include keyCertSign"),
    ("a root without keyCertSign", ext("root", forge.KEY_USAGE, forge.usage(crl_sign=True)), "root: key usage does not include keyCertSign"),
    ("a leaf without digitalSignature", ext("leaf", forge.KEY_USAGE, forge.usage(content_commitment=True)),
     "leaf: key usage does not include digitalSignature", ext("leaf", forge.KEY_USAGE, forge.usage(digital_signature=True, content_commitment=True))),
    ("a leaf without key usage", ext("leaf", forge.KEY_USAGE, None), "leaf: key usage does not include digitalSignature"),
    ("a leaf for TLS servers", ext("leaf", forge.EXTENDED_KEY_USAGE, x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False),
     "leaf: extended key usage: for another purpose",
     ext("leaf", forge.EXTENDED_KEY_USAGE, x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)),
    ("a leaf with a path length", raw("leaf", forge.BASIC_CONSTRAINTS, bytes.fromhex("3003020100")), "leaf: a path length without an authority"),
    *[(f"an unknown critical extension in the {level} certificate", raw(level, forge.UNKNOWN, b"\x05\x00"), f"{place}: unknown critical extension",
       raw(level, forge.UNKNOWN, b"\x05\x00", False)) for level, place in (("root", "root"), ("zonal", "issuer 2"), ("leaf", "leaf"))],
    ("an extension twice", cert("zonal", body=doubled_extension), "issuer 2: an extension stands twice", cert("zonal", body=lambda b: b)),
    ("bytes after the value of basicConstraints", raw("zonal", forge.BASIC_CONSTRAINTS, bytes.fromhex("30060101ff02010100")),
     "issuer 2: bytes after the value of an extension", raw("zonal", forge.BASIC_CONSTRAINTS, bytes.fromhex("30060101ff020101"))),
    ("bytes after the value of the leaf's key usage", raw("leaf", forge.KEY_USAGE, bytes.fromhex("0302078000")),
     "leaf: bytes after the value of an extension", raw("leaf", forge.KEY_USAGE, bytes.fromhex("03020780"))),
    ("bytes after the leaf", {"entries": lambda e: [[k, blob(cbor2.loads(v) + b"\0") if k == "certificate" else v] for k, v in e]}, "certificate: not DER"),
    ("bytes after an authority", {"bundle": lambda b: [*b[:2], b[2] + b"\0", b[3]]}, "cabundle 2: certificate: not DER"),
    ("bytes after the body inside the leaf", cert("leaf", der_edit=lambda d: forge.der(0x30, d[4:] + b"\x05\x00")), "certificate: sequence length mismatch"),
    ("a certificate of version 1", cert("zonal", body=version_1), "issuer 2: not version 3", cert("zonal", body=lambda b: b)),
    ("an issuer of another name", cert("leaf", issuer_name="zonal"), "leaf: issued by another"),
    ("the leaf signed with SHA-256", cert("leaf", digest=hashes.SHA256()), "leaf: the signature algorithm is not ECDSA with SHA-384"),
    ("an authority signed with SHA-512", cert("zonal", digest=hashes.SHA512()), "issuer 2: the signature algorithm is not ECDSA with SHA-384"),
    ("one signature algorithm inside, another outside", cert("zonal", body=other_identifier_inside), "issuer 2: cert info signature and signature algorithm mismatch", cert("zonal", body=lambda b: b)),
    ("an authority's key on P-256", {"keys": {"instance": forge.P256}}, "issuer 1: the key is not on the named curve P-384"),
    ("the leaf's key on P-256", {"keys": {"leaf": forge.P256}}, "signing certificate: the key is not on the named curve P-384"),
    ("the leaf's key RSA", {"keys": {"leaf": forge.RSA}}, "signing certificate: the key is not on the named curve P-384"),
]


@pytest.fixture(scope="module")
def judged(verify, tmp_path_factory):
    """The verdict on what a forger made; the chain's root is trusted."""
    folder = tmp_path_factory.mktemp("forged")

    def run(lies):
        document, pem = forge.make(**lies)
        (folder / "root.pem").write_bytes(pem)
        (folder / "forged.cbor").write_bytes(document)
        return verify("--document", folder / "forged.cbor", "--root", folder / "root.pem", "--any-image", "--at", "2023-11-14T22:13:20Z")

    return run


@pytest.mark.parametrize("vector", VECTORS, ids=[vector[0] for vector in VECTORS])
def test_refused_for_its_own_reason(judged, vector):
    _, lies, why, *control = vector
    accepted(judged(control[0] if control else {}))
    refused(judged(lies), why)


def test_each_vector_stands_in_the_guide(repository):
    guide = (repository / "docs/verify.md").read_text()
    missing = [(vector[0], vector[2]) for vector in VECTORS if f"| {vector[0]} | `{vector[2].strip().rstrip(':')}" not in guide]
    assert not missing and len({vector[0] for vector in VECTORS}) == len(VECTORS)
