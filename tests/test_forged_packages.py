"""Packages that lie, in an enclave that is asked to run them: each is refused with its reason, and nothing of it remains."""

import hashlib
import json
import os
import struct

import pytest

import lab as laboratory

forge = pytest.importorskip("forge", reason="SKIP: needs python3-cbor2, python3-cryptography and python3-zstandard")
pytest.importorskip("boto3", reason="SKIP: needs python3-boto3")

from forge import block, compress, directory, frame, member, pax, symlink, tar  # noqa: E402
from trial import APP, check_it_runs, check_refused  # noqa: E402

MIB = 1 << 20
NOISE = member(b"noise", os.urandom(2 * MIB + MIB // 2))  # so that there are three segments
EVIL = b"print(1)"


@pytest.fixture(scope="module")
def lab(lab):
    lab.up()
    lab.folder = lab.sync("shared")
    return lab


@pytest.fixture(scope="module")
def forger(lab):
    made = forge.Forger(lab.kms_client("owner"), lab.make_key())
    lab.ok("user", "signer", "add", "forger", forge.fingerprint(made.signer))
    lab.ok("user", "signer", "add", "rival", forge.fingerprint(RIVAL))  # whose packages the user runs, too
    made.other_arn = lab.make_key()
    return made


# --- the forger is right, so that what is refused is refused for the lie --------------------------------------------

MANIFEST = forge.manifest(limits={"package_mib": 16}, reads=["dataset"], entries=[{"name": "app.py", "args": None}])
LONG = b"/".join([b"d" * 120] * 3)
GOOD = {
    "plain": lambda f: f.archive(APP),
    "three segments": lambda f: f.archive(APP, NOISE),
    "manifest": lambda f: f.archive(APP, full=MANIFEST),
    "private entry points": lambda f: f.archive(APP, full=MANIFEST | {"entries_public": False}),
    "frame by hand": lambda f: f.package(frame(tar(APP, block(b"zeros", size=3 * MIB), end=b""), zeros=3 * MIB + 1024)),
    "long names": lambda f: f.archive(APP, *[directory(LONG[:n]) for n in (120, 241, 362)], member(LONG + b"/" + b"f" * 255, b"x")),
    "links inside": lambda f: f.archive(APP, directory(b"d"), symlink(b"d/up", b"../app.py"), symlink(b"loop", b"loop"),
                                        symlink(b"long", b"x/" * 60 + b"y")),
    "64 levels": lambda f: f.archive(APP, *[directory(b"/".join([b"d"] * n)) for n in range(1, 65)]),
    "64 KiB of end": lambda f: f.archive(APP, end=bytes(65536)),
    "own context": lambda f: own_context(f, {"team": "vision"}),
}


def own_context(f, extra, **changes):
    context = f.context() | extra
    return f.package(compress(tar(APP)), context=context, key=f.data_key(context), **changes)


@pytest.mark.parametrize("name", GOOD)
def test_what_the_forger_writes_honestly_runs(lab, forger, name):
    check_it_runs(lab, GOOD[name](forger))


def test_the_products_own_reader_agrees_about_the_header(lab, forger):
    path = lab.root / "forged.cloister"
    path.write_bytes(forger.archive(APP, full=MANIFEST))
    shown = json.loads(lab.ok("user", "inspect", "--json", path))
    assert (shown["name"], shown["release"], shown["key"]) == ("forged", "1", forger.arn)
    assert shown["encryption_context"] == forger.context(full=MANIFEST)


# --- the archive ----------------------------------------------------------------------------------------------------

LINK = symlink(b"link", b".")
ARCHIVES = {
    # what a member may be
    "link out": ([symlink(b"x", b"../x")], "leads out of the package"),
    "link out from below": ([directory(b"d"), symlink(b"d/x", b"../../x")], "leads out of the package"),
    "link out in disguise": ([symlink(b"x", b"d/../../x")], r"'\.\.' after a name"),
    "absolute link": ([symlink(b"app.pyc", b"/dataset/evil.py")], "absolute path"),
    "absolute link in pax": ([member(b"x", kind=b"2", link=b"y", records=[(b"linkpath", b"/etc/passwd")])], "absolute path"),
    "empty link": ([symlink(b"x", b"")], "target is empty"),
    "hard link": ([member(b"x", kind=b"1", link=b"app.py")], "a hard link"),
    "hard link outward": ([member(b"x", kind=b"1", link=b"../../etc/passwd")], "a hard link"),
    "character device": ([member(b"x", kind=b"3", device=1)], "a device"),
    "block device": ([member(b"x", kind=b"4", device=1)], "a device"),
    "fifo": ([member(b"x", kind=b"6")], "a fifo"),
    **{f"type {kind!r}": ([member(b"x", kind=kind)], f"unknown type {kind[0]}") for kind in (b"\0", b"7", b"g", b"K", b"L", b"S", b"V")},
    "setuid": ([member(b"x", mode=0o4755)], "setuid"),
    "setgid": ([member(b"x", mode=0o2755)], "setgid"),
    "sticky directory": ([directory(b"x", mode=0o1777)], "sticky"),
    "a file's type in the mode": ([member(b"x", mode=0o100644)], "a mode of 100644"),
    # where it may be
    "dot dot": ([member(b"../app.py", EVIL)], r"tar: the path '../app.py': '\.\.' is not a name"),
    "dot dot below": ([directory(b"d"), member(b"d/../../x", EVIL)], r"tar: the path .*: '\.\.' is not a name"),
    "dot dot in pax": ([member(b"x", EVIL, records=[(b"path", b"../x")])], r"tar: the path '../x': '\.\.' is not a name"),
    "absolute": ([member(b"/dataset/x", EVIL)], "tar: the path .*an absolute path"),
    "absolute in pax": ([member(b"x", EVIL, records=[(b"path", b"/app/app.py")])], "tar: the path .*an absolute path"),
    "dot": ([member(b"./x", EVIL)], r"tar: the path './x': '\.' is not a name"),
    "a file with a slash": ([member(b"x/", EVIL)], "tar: the path 'x/': a name of 0 bytes"),
    "empty component": ([directory(b"d"), member(b"d//x", EVIL)], "tar: the path 'd//x': a name of 0 bytes"),
    "no name": ([member(b"", EVIL)], "tar: the path '': a name of 0 bytes"),
    "root directory": ([directory(b"")], "tar: the path '': a name of 0 bytes"),
    "the same file again": ([member(b"app.py", EVIL)], "app.py stands there twice"),
    "the same directory again": ([directory(b"d"), directory(b"d")], "d stands there twice"),
    "a link over a file": ([symlink(b"app.py", b"noise")], "app.py stands there twice"),
    "a file over a link": ([symlink(b"x", b"y"), member(b"x", EVIL)], "tar: x stands there twice"),
    "through a link": ([directory(b"d"), symlink(b"l", b"d"), member(b"l/x", EVIL)], "a parent directory: l: "),
    "through a link to the root": ([LINK, member(b"link/x", EVIL)], "a parent directory: link: "),
    "a directory through a link": ([LINK, directory(b"link/x")], "a parent directory: link: "),
    "a link through a link": ([LINK, symlink(b"link/x", b"y")], "a parent directory: link: "),
    "no parent": ([member(b"no/x", EVIL)], "a parent directory: no: "),
    "below a file": ([member(b"app.py/x", EVIL)], "a parent directory: app.py: "),
    "256 bytes of name": ([member(b"n" * 256)], "a name of 256 bytes"),
    "4001 bytes of path": ([member(b"/".join([b"n" * 199] * 20) + b"/x")], "4001 bytes"),
    "65 levels": ([directory(b"/".join([b"d"] * n)) for n in range(1, 66)], "deeper than 64"),
    # what a pax header may say
    "pax capability": ([member(b"x", records=[(b"SCHILY.xattr.security.capability", b"\1AAA")])], "pax record 'SCHILY.xattr"),
    "pax xattr": ([member(b"x", records=[(b"LIBARCHIVE.xattr.user.a", b"YQ")])], "pax record 'LIBARCHIVE"),
    "pax sparse": ([member(b"x", records=[(b"GNU.sparse.major", b"1")])], "pax record 'GNU.sparse"),
    "pax escape in a key": ([member(b"x", records=[(b"\33]52;c;eA==\7", b"1")])], r"pax record '[^\x1b\x07]+'"),
    "pax uid": ([member(b"x", records=[(b"uid", b"0")])], "pax record 'uid'"),
    "pax twice": ([member(b"x", records=[(b"path", b"y"), (b"path", b"z")])], "pax record 'path' is not allowed or stands twice"),
    "pax empty": ([member(b"x", records=[(b"path", b"")])], "empty pax value"),
    "pax NUL": ([member(b"x", records=[(b"path", b"y\0z")])], "NUL"),
    "pax size larger": ([member(b"x", b"abc", records=[(b"size", b"1025")])], "the stream ends too early"),
    "pax negative size": ([member(b"x", b"abc", records=[(b"size", b"-1")])], "pax number"),
    "pax size 2^64": ([member(b"x", b"abc", records=[(b"size", b"18446744073709551617")])], "pax number"),
    "pax size with zeros": ([member(b"x", b"abc", records=[(b"size", b"003")])], "leading zeros"),
    "pax length short": ([pax(b"9 path=yy\n"), block(b"x")], "a pax record"),
    "pax length long": ([pax(b"99 path=y\n"), block(b"x")], "a pax record that is cut"),
    "pax length huge": ([pax(b"99999999999999999999 path=y\n"), block(b"x")], "pax"),
    "pax without newline": ([pax(b"9 path=yy"), block(b"x")], "a pax record that is cut"),
    "pax of nothing": ([pax(), block(b"x")], "a pax header of 0 bytes"),
    "pax of 16385 bytes": ([pax(b"x" * 16385), block(b"x")], "a pax header of 16385 bytes"),
    "pax twice in a row": ([pax((b"path", b"y")), member(b"x", records=[(b"path", b"z")])], "two pax headers"),
    "pax at the end": ([pax((b"path", b"y"))], "without its member"),
    # what a block may hold
    "checksum": ([member(b"x", checksum=1)], "wrong checksum"),
    "GNU magic": ([member(b"x", magic=b"ustar  \0")], "not a ustar header"),
    "no magic": ([member(b"x", magic=bytes(8))], "not a ustar header"),
    "prefix": ([member(b"x", prefix=b"../..")], "a name in two parts"),
    "bytes behind the name": ([member(b"x\0../../x")], "after the end of a name"),
    "content of a directory": ([member(b"d/", b"abc", kind=b"5")], "content where none may be"),
    "content of a link": ([member(b"l", b"abc", kind=b"2", link=b"x")], "content where none may be"),
    "a file with a target": ([member(b"x", link=b"y")], "a link target where none may be"),
    "a directory without its slash": ([member(b"d", kind=b"5")], "without its slash"),
    "padding": ([block(b"x", size=1) + b"a" + b"b" * 511], "padding that is not zero"),
    "more content than there is": ([block(b"x", size=4096) + b"a" * 512], "the stream ends too early"),
    # what is the owner's and not the archive's
    "manifest denied by the header": ([forge.manifest_member(MANIFEST)], "is not allowed there"),
    "reserved directory": ([directory(b".cloister")], "is not allowed there"),
    "reserved file": ([member(b".cloister/x", EVIL)], "is not allowed there"),
    "reserved link": ([symlink(b".cloister", b".")], "is not allowed there"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_lie_are_refused(lab, forger, name):
    members, reason = ARCHIVES[name]
    check_refused(lab, forger.archive(APP, *members), reason)


def octal_lie(field):
    """A size field that is not octal digits and NUL."""
    raw = bytearray(block(b"x"))
    raw[124:136] = field
    total = sum(raw[:148]) + 8 * 32 + sum(raw[156:])
    raw[148:156] = b"%06o\0 " % total
    return bytes(raw)


CONTENTS = {
    "size in base 256": (lambda: compress(tar(APP, octal_lie(b"\x80" + bytes(10) + b"\x01"))), "not octal"),
    "size with blanks": (lambda: compress(tar(APP, octal_lie(b"         0 \0"))), "not octal"),
    "size without end": (lambda: compress(tar(APP, octal_lie(b"000000000000"))), "without its end"),
    "no end": (lambda: compress(tar(APP, end=b"")), "tar: the stream ends too early"),
    "half an end": (lambda: compress(tar(APP, end=bytes(512))), "tar: the stream ends too early"),
    "a member after the end": (lambda: compress(tar(APP) + member(b"x", EVIL)), "data after the end"),
    "an end that never ends": (lambda: frame(tar(APP), zeros=65 * 1024), "more than 65536 bytes after the end"),
    "nothing": (lambda: b"", "zstd frame ends too early"),
    "an empty frame": (lambda: frame(b""), "tar: the stream ends too early"),
    "no compression": (lambda: tar(APP), "not a zstd frame"),
    "half a frame": (lambda: compress(tar(APP))[:-1], "zstd frame ends too early"),
    "two frames": (lambda: compress(tar(APP)) + compress(b"x"), "data after the end of the zstd frame"),
    "bytes after the frame": (lambda: compress(tar(APP)) + b"\0", "data after the end of the zstd frame"),
    "skippable frame": (lambda: struct.pack("<II", 0x184D2A50, 4) + b"evil" + compress(tar(APP)), "not a zstd frame"),
    "format of 2015": (lambda: b"\x27\xb5\x2f\xfd" + compress(tar(APP))[4:], "not a zstd frame"),
    "a window of 256 MiB": (lambda: frame(tar(APP), window=28), "zstd: .*too much memory"),
    "a window of 1 TiB": (lambda: frame(tar(APP), window=40), "zstd: .*too much memory"),
    "a dictionary": (lambda: forge.ZSTD_MAGIC + b"\x01\x38\x2a" + frame(tar(APP))[6:], "zstd: Dictionary"),
    "damage within": (lambda: flip(frame(tar(APP)), 6, 0x06), "zstd: Data corruption"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_lie_are_refused(lab, forger, name):
    make, reason = CONTENTS[name]
    check_refused(lab, forger.package(make()), reason)


# --- manifests ------------------------------------------------------------------------------------------------------

OTHER = MANIFEST | {"reads": None}
MANIFESTS = {
    "missing": (lambda f: f.package(compress(tar(APP)), MANIFEST), "manifest: .*No such file"),
    "another": (lambda f: f.package(compress(tar(forge.manifest_member(OTHER), APP)), MANIFEST),
                "not the one that the package's header names"),
    "not the first": (lambda f: f.package(compress(tar(APP, forge.manifest_member(MANIFEST))), MANIFEST), "is not allowed there"),
    "twice": (lambda f: f.archive(forge.manifest_member(MANIFEST), APP, full=MANIFEST), "is not allowed there"),
    "a link": (lambda f: f.package(compress(tar(symlink(b".cloister/manifest", b"../app.py"), APP)), MANIFEST), "is not allowed there"),
    "other terms shown": (lambda f: f.package(compress(tar(forge.manifest_member(MANIFEST), APP)), MANIFEST,
                                              public=forge.cbor(forge.public_part(OTHER))), "contradicts the terms"),
    "too large a limit": (lambda f: f.archive(APP, full=forge.manifest(limits={"package_mib": MIB + 1})),
                          "public manifest: .*integer above 1048576"),
    "no time": (lambda f: f.archive(APP, full=forge.manifest(limits={"seconds": 0})), "seconds is 0"),
    "reads packages": (lambda f: f.archive(APP, full=forge.manifest(reads=["encrypted"])), "'encrypted' belongs to Cloister"),
    "reads a path": (lambda f: f.archive(APP, full=forge.manifest(reads=["../x"])), "reads: a name with a slash"),
    "writes twice": (lambda f: f.archive(APP, full=forge.manifest(writes=["output", "output"])), "'output' stands there twice"),
    "entry point outside": (lambda f: f.archive(APP, full=forge.manifest(entries=[{"name": "/dataset/x.py", "args": None}])),
                            "entry point: .*an absolute path"),
    "unknown word": (lambda f: f.archive(APP, full=forge.manifest(stderr="owner")), "'owner' is neither caller nor none"),
    "one key more": (lambda f: f.archive(APP, full=forge.manifest(root=True)), "public manifest: .*more than 10 entries"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_that_lie_are_refused(lab, forger, name):
    make, reason = MANIFESTS[name]
    check_refused(lab, make(forger), reason)


# --- the header -----------------------------------------------------------------------------------------------------


def flip(data, at, bits=1):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1:]


def resigned(f, context=(), drop=(), **changes):
    """A package whose header says `changes`, in the owner's name."""
    header = f.header()
    header |= changes
    header["context"] = {**header["context"], **dict(context)}
    for key in drop:
        del header[key]
    header = {key: value for key, value in forge.sign(header, f.signer).items() if key not in drop}
    return raw_header(f, forge.cbor(header))


def raw_header(f, encoded, length=None):
    start = forge.MAGIC + struct.pack(">I", len(encoded) if length is None else length) + encoded
    return start + f.seal(start, compress(tar(APP)), f.data_key(f.context()))


def unsigned(f, full=None, **changes):
    """A header changed after its owner signed it; the content sealed for the changed one."""
    return raw_header(f, forge.cbor(f.header(full=full) | changes))


def renamed(f):
    """Another name, as the context must say too, under the old signature."""
    return unsigned(f, name="other", context=f.context(name="other"))


TERMS = forge.cbor(forge.public_part(MANIFEST))
TERMS_OF_ANOTHER = forge.cbor(forge.public_part(OTHER))
HEADERS = {
    "magic": (lambda f: flip(f.archive(APP), 0, 0x80), "not an encrypted package"),
    "magic's line end": (lambda f: f.archive(APP).replace(b"\r\n", b"\n", 1), "not an encrypted package"),
    "length 0": (lambda f: raw_header(f, b"", 0), "a length of 0 bytes"),
    "length 65537": (lambda f: raw_header(f, bytes(65537)), "a length of 65537 bytes"),
    "length 2^32 - 1": (lambda f: raw_header(f, forge.cbor(f.header()), 0xFFFFFFFF), "a length of 4294967295 bytes"),
    "length one more": (lambda f: raw_header(f, forge.cbor(f.header()) + b"\0"), "package header: .*bytes after the end"),
    "length one less": (lambda f: raw_header(f, forge.cbor(f.header()), len(forge.cbor(f.header())) - 1), "package header: truncated"),
    "half a header": (lambda f: f.archive(APP)[:300], "package header: the file ends too early"),
    "nothing but a header": (lambda f: forge.prefix(f.header()), "package content: the file ends too early"),
    "indefinite map": (lambda f: raw_header(f, b"\xbf" + forge.cbor(f.header())[1:] + b"\xff"), "package header: .*indefinite length"),
    "long integer": (lambda f: raw_header(f, forge.cbor(f.header()).replace(b"av\x01", b"av\x18\x01", 1)),
                     "package header: .*shortest form"),
    "other order": (lambda f: raw_header(f, in_order(f.header(), 1, 0)), "package header: .*\"v\" is not here"),
    "a key twice": (lambda f: raw_header(f, in_order(f.header(), 0, 0)), "package header: .*\"key\" is not here"),
    "version 2": (lambda f: resigned(f, v=2), "format version 2"),
    "version 0": (lambda f: resigned(f, v=0), "format version 0"),
    "one key more": (lambda f: resigned(f, trust="me"), "package header: .*more than 11 entries"),
    "another key": (lambda f: resigned(f, drop=["commitment"], promise=bytes(32)), "package header: .*\"release\" is not here"),
    "no commitment": (lambda f: resigned(f, drop=["commitment"]), "\"commitment\" is not here"),
    "no signature": (lambda f: resigned(f, drop=["signature"]), "\"signature\" is not here"),
    "no context": (lambda f: resigned(f, drop=["context"]), "\"context\" is not here"),
    "alias": (lambda f: resigned(f, key=f.arn.rpartition("key/")[0] + "alias/ocr"), "not a full key ARN"),
    "key of another service": (lambda f: resigned(f, key=f.arn.replace(":kms:", ":s3:")), "not a full key ARN"),
    "region that is a host": (lambda f: resigned(f, key=f.arn.replace("us-east-1", "evil.example")), "not a full key ARN"),
    "region with a slash": (lambda f: resigned(f, key=f.arn.replace("us-east-1", "us-east-1/x")), "not a full key ARN"),
    "no wrapped key": (lambda f: resigned(f, wrapped=[]), "0 wrapped keys"),
    "five wrapped keys": (lambda f: resigned(f, wrapped=[b"x"] * 5), "more than 4 entries"),
    "empty wrapped key": (lambda f: resigned(f, wrapped=[b""]), "string shorter than 1 byte"),
    "wrapped key of 6145 bytes": (lambda f: resigned(f, wrapped=[bytes(6145)]), "string longer than 6144 bytes"),
    "short signer": (lambda f: resigned(f, signer=bytes(31)), "string shorter than 32 bytes"),
    "short commitment": (lambda f: resigned(f, commitment=bytes(31)), "string shorter than 32 bytes"),
    "name with a slash": (lambda f: resigned(f, name="../x", context={"cloister:name": "../x"}), "name must be 1 to 64"),
    "name with an escape": (lambda f: resigned(f, name="\33[2J", context={"cloister:name": "\33[2J"}), "name must be 1 to 64"),
    "name of 65": (lambda f: resigned(f, name="n" * 65, context={"cloister:name": "n" * 65}), "string longer than 64 bytes"),
    "no release": (lambda f: resigned(f, release="", context={"cloister:release": ""}), "release must be 1 to 64"),
    "context of another name": (lambda f: resigned(f, context={"cloister:name": "other"}), "contradicts"),
    "context of another release": (lambda f: resigned(f, context={"cloister:release": "2"}), "contradicts"),
    "context of another signer": (lambda f: resigned(f, context={"cloister:signer": "0" * 64}), "contradicts"),
    "context with a manifest": (lambda f: resigned(f, context={"cloister:manifest": "0" * 64}), "contradicts"),
    "context of another kind": (lambda f: resigned(f, context={"cloister:data": "mine"}), "contradicts"),
    "context in capitals": (lambda f: resigned(f, context={"Cloister:Name": "x"}), "'Cloister:Name' is reserved"),
    "context twice but for case": (lambda f: resigned(f, context={"team": "a", "Team": "b"}), "only in case"),
    "context with an escape": (lambda f: resigned(f, context={"team": "\33]52;c;eA==\7"}), "not printable ASCII"),
    "context of nine": (lambda f: resigned(f, context={f"k{n}": "" for n in range(9)}), "more than 12 entries"),
    "terms without a manifest": (lambda f: resigned(f, public=TERMS), "terms other than the defaults"),
    "terms of 17 KiB": (lambda f: resigned(f, public=bytes(17 * 1024)), "string longer than 16384 bytes"),
    "terms that are none": (lambda f: resigned(f, public=b"\xf6"), "public manifest: .*not a map"),
}


def in_order(header, *first):
    """The header with other entries in its first places: 0 is `v`, 1 is `key`."""
    keys = sorted(header, key=lambda key: (len(key), key))
    keys[:len(first)] = [keys[at] for at in first]
    return bytes([0xA0 + len(keys)]) + b"".join(forge.cbor(key) + forge.cbor(header[key]) for key in keys)


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie_are_refused(lab, forger, name):
    make, reason = HEADERS[name]
    check_refused(lab, make(forger), reason)


# --- signatures and keys --------------------------------------------------------------------------------------------

STRANGER, RIVAL = forge.Ed25519PrivateKey.generate(), forge.Ed25519PrivateKey.generate()


def by_another(f):
    """The stranger's signature in a header that carries the known signer's key."""
    header = f.header()
    return unsigned(f, signature=forge.sign(header, STRANGER)["signature"])


def by_an_unknown_signer(f):
    return f.package(compress(tar(APP)), signer=STRANGER, key=f.data_key(f.context(signer=STRANGER)))


def of_small_order(f):
    """A signer's key with which anything might verify."""
    point = b"\1" + bytes(31)
    return resigned(f, signer=point, context={"cloister:signer": hashlib.sha256(forge.SPKI + point).hexdigest()})


def swapped_wrapped_key(f, sign):
    """A genuine header beside content under a key that the attacker got from the same KMS key, in the same context."""
    own = f.data_key(f.context(), fresh=True)
    header = f.header() | {"wrapped": [own.wrapped]}
    start = forge.prefix(forge.sign(header, f.signer) if sign else header)
    return start + f.seal(start, compress(tar(APP)), own)


def content_under_another_key(f):
    own = f.data_key(f.context(), fresh=True)
    start = forge.prefix(f.header())
    return start + f.seal(start, compress(tar(APP)), own)


def content_of_another_header(f):
    """The same key, but sealed for the header of another release."""
    start = forge.prefix(f.header())
    return start + f.seal(forge.prefix(f.header(release="2")), compress(tar(APP)), f.data_key(f.context()))


def wrapped_for_another_application(f):
    """The context says what the fields say, but the key was made in another application's."""
    return f.package(compress(tar(APP)), key=f.data_key(f.context(name="other")))


def stolen(f):
    """Another signer, whom the user knows, puts the owner's wrapped key, commitment and content below a header of their own."""
    parts = f.parts(compress(tar(APP)))
    return b"".join([forge.prefix(f.header(signer=RIVAL, key=f.data_key(f.context()))), *parts[1:]])


def other_commitment(f):
    return f.package(compress(tar(APP)), commitment=hashlib.sha256(b"x").digest())


SIGNATURES = {
    "by another": (by_another, "signature of the package"),
    "by an unknown signer": (by_an_unknown_signer, "unknown signer"),
    "of zeros": (lambda f: unsigned(f, signature=bytes(64)), "signature of the package"),
    "one bit": (lambda f: unsigned(f, signature=flip(f.header()["signature"], 0)), "signature of the package"),
    "its last bit": (lambda f: unsigned(f, signature=flip(f.header()["signature"], -1, 0x80)), "signature of the package"),
    "over another domain": (lambda f: unsigned(f, signature=f.signer.sign(forge.cbor(f.header()))), "signature of the package"),
    "signer of small order": (of_small_order, "signature of the package"),
    "name changed": (renamed, "signature of the package"),
    "release changed": (lambda f: unsigned(f, release="0", context=f.context(release="0")), "signature of the package"),
    "key changed": (lambda f: unsigned(f, key=f.arn[:-1] + ("0" if f.arn[-1] != "0" else "1")), "signature of the package"),
    "terms changed": (lambda f: unsigned(f, MANIFEST, public=TERMS_OF_ANOTHER), "signature of the package"),
    "manifest changed": (lambda f: unsigned(f, OTHER, signature=f.header(full=MANIFEST)["signature"]), "signature of the package"),
    "signer changed": (lambda f: unsigned(f, signer=forge.public_bytes(RIVAL), context=f.context(signer=RIVAL)),
                       "signature of the package"),
    "own context changed": (lambda f: unsigned(f, context=f.context() | {"a": "b"}), "signature of the package"),
    "wrapped key changed": (lambda f: unsigned(f, wrapped=[flip(f.header()["wrapped"][0], 20)]), "signature of the package"),
    "wrapped key added": (lambda f: unsigned(f, wrapped=f.header()["wrapped"] * 2), "signature of the package"),
    "commitment changed": (lambda f: unsigned(f, commitment=bytes(32)), "signature of the package"),
    "wrapped key swapped": (lambda f: swapped_wrapped_key(f, sign=False), "signature of the package"),
}
KEYS = {
    "wrapped key swapped, signed": (lambda f: swapped_wrapped_key(f, sign=True), "not the one that the package's signer committed to"),
    "commitment to another key": (other_commitment, "not the one that the package's signer committed to"),
    "content under another key": (content_under_another_key, "segment 0 is damaged"),
    "content of another header": (content_of_another_header, "segment 0 is damaged"),
    "of another application": (wrapped_for_another_application, "InvalidCiphertextException"),
    "stolen by another signer": (stolen, "InvalidCiphertextException"),
    "wrapped under another KMS key": (lambda f: resigned(f, key=f.other_arn), "IncorrectKeyException"),
    "no such KMS key": (lambda f: resigned(f, key=f.arn[:-36] + "00000000-0000-4000-8000-000000000000"), "NotFoundException"),
    "wrapped key of rubbish": (lambda f: resigned(f, wrapped=[b"rubbish"]), "InvalidCiphertextException"),
    "another region": (lambda f: resigned(f, key=f.arn.replace("us-east-1", "eu-west-9")), "proxy, connecting to kms.eu-west-9.*403"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_that_lie_are_refused(lab, forger, name):
    make, reason = SIGNATURES[name]
    check_refused(lab, make(forger), reason)


@pytest.mark.parametrize("name", KEYS)
def test_keys_that_lie_are_refused(lab, forger, name):
    make, reason = KEYS[name]
    check_refused(lab, make(forger), reason)


def test_an_older_release_is_refused_once_it_is_delisted(lab, forger):
    key = lab.make_key("1", "2")
    releases = forge.Forger(forger.kms, key)
    releases.signer = forger.signer
    package = {name: releases.package(compress(tar(APP)), release=name, key=releases.data_key(releases.context(release=name)))
               for name in ("1", "2")}
    check_it_runs(lab, package["1"])
    lab.ok("owner", "key", "revoke", "-k", key, "--release", "1")
    check_refused(lab, package["1"], "AccessDeniedException")
    check_it_runs(lab, package["2"])


# --- segments -------------------------------------------------------------------------------------------------------


def at_segment(change):
    """A package of three segments, as [prefix, stream header, segment, segment, segment], changed."""
    def make(f):
        parts = f.parts(compress(tar(APP, NOISE)))
        assert len(parts) == 5 and len(parts[1] + parts[2]) == len(parts[3]) == MIB
        return b"".join(change(f, parts))
    return make


def replaced(index, change):
    return at_segment(lambda f, parts: parts[:index] + [change(parts[index])] + parts[index + 1:])


def resealed(f, **lie):
    """Segments that the owner's key sealed otherwise than a writer does."""
    start = forge.prefix(f.header())
    return start + f.seal(start, key=f.data_key(f.context()), **lie)


def pieces():
    return forge.segments(compress(tar(APP, NOISE)))


STREAMS = {
    "length in the stream header": (replaced(1, lambda p: flip(p, 0)), "not a stream header of 40 bytes"),
    "salt": (replaced(1, lambda p: flip(p, 1)), "segment 0 is damaged"),
    "nonce": (replaced(1, lambda p: flip(p, 39)), "segment 0 is damaged"),
    **{f"segment {n}, byte {at}": (replaced(2 + n, lambda p, at=at: flip(p, at)), f"segment {n} is damaged")
       for n in range(3) for at in (0, -17, -16, -1)},
    "cut before the stream header's end": (at_segment(lambda f, p: [p[0], p[1][:-1]]), "ends too early"),
    "cut after the stream header": (at_segment(lambda f, p: p[:2]), "truncated in segment 0"),
    "cut within segment 0": (at_segment(lambda f, p: [*p[:2], p[2][:-1]]), "segment 0 is damaged"),
    "cut after segment 0": (at_segment(lambda f, p: p[:3]), "segment 0 is damaged, out of place or not the end"),
    "cut after segment 1": (at_segment(lambda f, p: p[:4]), "segment 1 is damaged, out of place or not the end"),
    "cut within a tag": (at_segment(lambda f, p: [*p[:4], p[4][:15]]), "truncated in segment 2"),
    "one byte of a segment": (at_segment(lambda f, p: [*p[:3], p[3][:1]]), "truncated in segment 1"),
    "cut at the end": (at_segment(lambda f, p: [*p[:4], p[4][:-1]]), "segment 2 is damaged"),
    "a byte at the end": (at_segment(lambda f, p: [*p, b"\0"]), "segment 2 is damaged"),
    "a megabyte at the end": (at_segment(lambda f, p: [*p, bytes(MIB)]), "segment 2 is damaged"),
    "swapped": (at_segment(lambda f, p: [p[0], p[1], p[2], p[4], p[3]]), "segment 1 is damaged"),
    "doubled": (at_segment(lambda f, p: [*p[:4], p[3], p[4]]), "segment 2 is damaged"),
    "left out": (at_segment(lambda f, p: [*p[:3], p[4]]), "segment 1 is damaged"),
    "an empty segment at the end": (lambda f: resealed(f, content=full_pieces() + [b""]), "truncated in segment 2"),
    "the last says it is not": (lambda f: resealed(f, content=pieces(), last=7), "segment 2 is damaged, out of place or not the end"),
    "the second says it is the last": (lambda f: resealed(f, content=pieces(), last=1), "segment 1 is damaged"),
    "a short segment first": (lambda f: resealed(f, content=[b"x" * 1000, *pieces()[1:]]), "segment 0 is damaged"),
}


def full_pieces():
    """Two segments, the last of them full."""
    whole = frame(tar(APP, NOISE))
    return [piece for piece in forge.segments(whole)[:2]]


@pytest.mark.parametrize("name", STREAMS)
def test_segments_that_lie_are_refused(lab, forger, name):
    make, reason = STREAMS[name]
    check_refused(lab, make(forger), reason)


# --- bombs ----------------------------------------------------------------------------------------------------------

SMALL = forge.manifest(limits={"package_mib": 16})
GIB = 1 << 30


def zeros(f, *members, count, full=SMALL):
    return f.package(frame(tar(forge.manifest_member(full), APP, *members, end=b""), zeros=count), full)


def many(count, full):
    """`count` empty files, whose names are their numbers."""
    head, tail = block(b"0000000")[7:148], block(b"0000000")[156:]
    blank = sum(head) + sum(tail) + 8 * 32
    yield forge.manifest_member(full) + APP
    for number in range(count):
        name = b"%07d" % number
        yield b"%b%b%06o\0 %b" % (name, head, blank + sum(name), tail)
    yield forge.TAR_END


def bomb_of_files(f, count, full):
    return f.package(compress(many(count, full)), full)


LIMIT = "the package unpacks to more than 16777216 bytes"
BOMBS = {
    "a gigabyte of zeros in 40 KB": (lambda f: zeros(f, block(b"zeros", size=GIB), count=GIB + 1024), LIMIT),
    "gigabytes after the end": (lambda f: zeros(f, count=4 * GIB), "more than 65536 bytes after the end"),
    "a page more than allowed": (lambda f: zeros(f, block(b"zeros", size=16 * MIB - 4096), count=16 * MIB), LIMIT),
    "files of a megabyte": (lambda f: f.package(compress(tar(forge.manifest_member(SMALL), APP,
                                                             *[member(b"%d" % n, bytes(MIB)) for n in range(20)])), SMALL), LIMIT),
    "a declared size of 8 GiB": (lambda f: zeros(f, block(b"x", size=8 * GIB - 1), count=1024), LIMIT),
    "a declared size of 1 PiB": (lambda f: zeros(f, member(b"x", size=0, records=[(b"size", b"%d" % 2**50)]), count=1024), LIMIT),
    "a declared size of 2^63": (lambda f: zeros(f, member(b"x", size=0, records=[(b"size", b"%d" % 2**63)]), count=1024),
                                f"a size of {2**63} bytes"),
    "empty files by the page": (lambda f: bomb_of_files(f, 4096, SMALL), LIMIT),
    "a million empty files": (lambda f: bomb_of_files(f, 1_000_000, forge.manifest(limits={"package_mib": 8192})),
                              r"more than (?:1000000 files and directories|2\d{9} bytes)"),  # a machine's memory is what ends first
}


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_their_limit(lab, forger, name):
    make, reason = BOMBS[name]
    check_refused(lab, make(forger), reason)
    check_it_runs(lab, forger.archive(APP))


def test_what_fits_exactly_is_no_bomb(lab, forger):
    """The manifest and the application take a page each."""
    check_it_runs(lab, zeros(forger, block(b"zeros", size=16 * MIB - 8192), count=16 * MIB))


def test_the_enclave_has_not_noticed(lab, forger):
    """After all of these a good package runs, no process of a job is left, and every job is over: failed before it ran."""
    check_it_runs(lab, forger.archive(APP, NOISE, full=MANIFEST))
    laboratory.wait_for(lambda: not lab.job_processes())
    jobs = json.loads(lab.ok("user", "jobs", "--json"))["jobs"]
    assert {job["state"] for job in jobs} <= {"failed", "exited"}
    assert all("exit_code" not in job and job["error"]["message"] for job in jobs if job["state"] == "failed")
