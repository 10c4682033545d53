"""A second writer of packages, made from docs/formats/package.md alone, which can lie at every place.

Each structure has one function whose arguments are what a writer could get wrong: member() and tar() for the archive,
frame() for zstd, Forger.header() and prefix() for the start, Forger.seal() for the segments. Forger.package() is all of them, and
honest unless told otherwise."""

import hashlib
import hmac
import os
import struct

import cbor2
import zstandard
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"\x8cCLSTR\r\n"
SIGNED_DOMAIN = b"cloister/package/v1\0"
SPKI = bytes.fromhex("302a300506032b6570032100")  # of an Ed25519 key, RFC 8410
SEGMENT, TAG, STREAM_HEADER = 1 << 20, 16, 40
BLOCK = 512
TAR_END = bytes(2 * BLOCK)
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_BLOCK = 128 * 1024  # bytes, the most of one block
RAW, RUN = 0, 1  # kinds of blocks: bytes as they are, one byte many times


def cbor(value):
    return cbor2.dumps(value, canonical=True)


def hkdf(key, salt, info, length=32):
    """RFC 5869 with SHA-256; one block is all that packages need."""
    secret = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(secret, info + b"\x01", "sha256")[:length]


# --- the archive --------------------------------------------------------------------------------------------------


def octal(value, width):
    return b"%0*o\0" % (width - 1, value)


def padded(content):
    return content + bytes(-len(content) % BLOCK)


def block(name, kind=b"0", size=0, mode=0o644, link=b"", mtime=0, checksum=None, magic=b"ustar\00000", prefix=b"", device=0):
    """One header block of 512 bytes."""
    fields = [name[:100].ljust(100, b"\0"), octal(mode, 8), octal(0, 8), octal(0, 8), octal(size, 12), octal(mtime, 12), b" " * 8,
              kind, link[:100].ljust(100, b"\0"), magic, bytes(64), octal(device, 8), octal(device, 8), prefix.ljust(155, b"\0"), bytes(12)]
    raw = b"".join(fields)
    assert len(raw) == BLOCK
    total = sum(raw) if checksum is None else checksum
    return raw[:148] + b"%06o\0 " % total + raw[156:]


def pax(*records):
    """A pax header: pairs of key and value, or bytes as they are to stand there."""
    text = b""
    for record in records:
        if isinstance(record, tuple):
            rest = b" %s=%s\n" % record
            length = len(rest) + len(str(len(rest)))
            record = b"%d" % (len(rest) + len(str(length))) + rest
        text += record
    return block(b"pax", b"x", len(text)) + padded(text)


def member(name, content=b"", kind=b"0", records=(), size=None, **fields):
    """A header block, before it a pax header where the name or the target needs one, and the content."""
    records = list(records)
    if len(name) > 100:
        records.append((b"path", name))
    if len(fields.get("link", b"")) > 100:
        records.append((b"linkpath", fields["link"]))
    start = pax(*records) if records else b""
    return start + block(name, kind, len(content) if size is None else size, **fields) + padded(content)


def directory(name, **fields):
    return member(name + b"/", kind=b"5", **{"mode": 0o755, **fields})


def symlink(name, target, **fields):
    return member(name, kind=b"2", link=target, **fields)


def tar(*members, end=TAR_END):
    return b"".join(members) + end


# --- compression --------------------------------------------------------------------------------------------------


def compress(content):
    """One frame of bytes, or of what a generator yields."""
    compressor = zstandard.ZstdCompressor(level=1)
    if isinstance(content, bytes):
        return compressor.compress(content)
    stream = compressor.compressobj()
    return b"".join(stream.compress(piece) for piece in content) + stream.flush()


def frame(content, zeros=0, window=17):
    """A zstd frame by hand (RFC 8878): raw blocks of `content`, then `zeros` bytes in 4 bytes for each 128 KiB."""
    out = [ZSTD_MAGIC, bytes([0, (window - 10) << 3])]
    for at in range(0, len(content), ZSTD_BLOCK):
        piece = content[at:at + ZSTD_BLOCK]
        out.append(zstd_block(RAW, len(piece)) + piece)
    whole, rest = divmod(zeros, ZSTD_BLOCK)
    out.append((zstd_block(RUN, ZSTD_BLOCK) + b"\0") * whole)
    if rest:
        out.append(zstd_block(RUN, rest) + b"\0")
    out.append(zstd_block(RAW, 0, last=1))
    return b"".join(out)


def zstd_block(kind, size, last=0):
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3]


# --- manifests ----------------------------------------------------------------------------------------------------


def manifest(limits=None, **changes):
    """The manifest as a map; the defaults of version 1 unless changed."""
    default_limits = {"seconds": 86400, "processes": 256, "memory_mib": 4096, "package_mib": 8192}
    return {"v": 1, "reads": None, "egress": [], "limits": default_limits | (limits or {}), "stderr": "none", "stdout": "caller",
            "writes": ["output"], "entries": [], "owner_key": None, "diagnostics": False,
            "environment": {}, "entries_public": True} | changes


def public_part(full):
    shown = {key: value for key, value in full.items() if key not in ("entries_public", "environment")}
    names = [entry["name"] for entry in full["entries"]]
    shown["entries"] = names if full["entries_public"] or not names else None
    return shown


def manifest_member(full):
    return member(b".cloister/manifest", cbor(full))


# --- the package --------------------------------------------------------------------------------------------------


def fingerprint(signer):
    return hashlib.sha256(SPKI + public_bytes(signer)).hexdigest()


def public_bytes(signer):
    return signer.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def prefix(header, length=None):
    encoded = cbor(header)
    return MAGIC + struct.pack(">I", len(encoded) if length is None else length) + encoded


def sign(header, signer):
    unsigned = {key: value for key, value in header.items() if key != "signature"}
    return unsigned | {"signature": signer.sign(SIGNED_DOMAIN + MAGIC + cbor(unsigned))}


def segments(content):
    """The plaintexts of the segments."""
    first = SEGMENT - STREAM_HEADER - TAG
    return [content[:first]] + [content[at:at + SEGMENT - TAG] for at in range(first, len(content), SEGMENT - TAG)]


class DataKey:
    def __init__(self, plaintext, wrapped):
        self.plaintext, self.wrapped = plaintext, wrapped

    def commitment(self):
        return hkdf(self.plaintext, b"", b"cloister/commit/v1")


class Forger:
    """Writes packages under one KMS key and one signer. Data keys come from the key service, asked as `kms` is allowed to."""

    def __init__(self, kms, arn):
        self.kms, self.arn = kms, arn
        self.signer = Ed25519PrivateKey.generate()
        self.keys = {}

    def data_key(self, context, fresh=False):
        """One for each context, so that a table of packages asks once."""
        place = cbor(context)
        if fresh or place not in self.keys:
            made = self.kms.generate_data_key(KeyId=self.arn, KeySpec="AES_256", EncryptionContext=context)
            key = DataKey(made["Plaintext"], made["CiphertextBlob"])
            if fresh:
                return key
            self.keys[place] = key
        return self.keys[place]

    def context(self, name="forged", release="1", full=None, signer=None):
        digest = hashlib.sha256(cbor(full)).hexdigest() if full else "none"
        return {"cloister:signer": fingerprint(signer or self.signer), "cloister:name": name, "cloister:release": release,
                "cloister:manifest": digest}

    def header(self, name="forged", release="1", full=None, signer=None, key=None, **changes):
        """Signed by `signer`; `changes` are made before it signs."""
        signer = signer or self.signer
        context = self.context(name, release, full, signer)
        key = key or self.data_key(context)
        digest = hashlib.sha256(cbor(full)).digest() if full else None
        fields = {"v": 1, "key": self.arn, "name": name, "public": cbor(public_part(full or manifest())),
                  "signer": public_bytes(signer), "context": context, "release": release, "wrapped": [key.wrapped],
                  "manifest": digest, "commitment": key.commitment()}
        return sign(fields | changes, signer)

    def seal(self, start, content, key, last=None):
        """Stream header and segments, joined. last: which segment says that it is the last (default: the last)."""
        return b"".join(self.sealed(start, content, key, last))

    def sealed(self, start, content, key, last=None):
        salt, nonce_prefix = os.urandom(32), os.urandom(7)
        aead = AESGCM(hkdf(key.plaintext, salt, start))
        pieces = content if isinstance(content, list) else segments(content)
        last = len(pieces) - 1 if last is None else last
        out = [bytes([STREAM_HEADER]) + salt + nonce_prefix]
        for number, piece in enumerate(pieces):
            nonce = nonce_prefix + struct.pack(">IB", number, number == last)
            out.append(aead.encrypt(nonce, piece, None))
        return out

    def parts(self, content, full=None, key=None, **changes):
        """[prefix, stream header, segment…] of a package whose compressed content is `content`."""
        key = key or self.data_key(self.context(full=full))
        start = prefix(self.header(full=full, key=key, **changes))
        return [start, *self.sealed(start, content, key)]

    def package(self, content, full=None, **options):
        return b"".join(self.parts(content, full, **options))

    def archive(self, *members, full=None, end=TAR_END):
        """A package of these members, the manifest before them if there is one."""
        first = (manifest_member(full),) if full else ()
        return self.package(compress(tar(*first, *members, end=end)), full)
