"""Our content is Tink's AES256_GCM_HKDF_1MB: each side opens what the other wrote, and refuses what the other refuses.

CLOISTER_STREAM_TOOL is the path of stream_tool (default: build/dev/tests/stream_tool or build/dev/stream_tool).
"""

import io
import os
import pathlib
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "package"
KEY = bytes(range(32))
ASSOCIATED = b"\x8cassociated data"

MIB = 1024 * 1024
FIRST = MIB - 40 - 16
NEXT = MIB - 16
SIZES = [0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, FIRST + NEXT - 1, FIRST + NEXT, FIRST + NEXT + 1, 5 * MIB]


def find_tool():
    candidates = [os.environ.get("CLOISTER_STREAM_TOOL", "")]
    candidates += [str(ROOT / "build" / "dev" / name) for name in ("tests/stream_tool", "stream_tool")]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


TOOL = find_tool()
needs_tool = pytest.mark.skipif(TOOL is None, reason="stream_tool is not built (set CLOISTER_STREAM_TOOL to its path)")


@pytest.fixture(scope="module")
def tink_primitive():
    """Tink's streaming AEAD with KEY as the keyset's key value."""
    tink = pytest.importorskip("tink", reason="the PyPI package tink is not installed: no check against Tink itself")
    from tink import cleartext_keyset_handle, streaming_aead
    from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

    streaming_aead.register()
    key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=KEY,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=MIB, derived_key_size=32, hkdf_hash_type=common_pb2.SHA256
        ),
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=key.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


class Kept(io.BytesIO):
    """Keeps its bytes when Tink closes it."""

    def close(self):
        self.kept = self.getvalue()
        super().close()


def tink_encrypt(primitive, plaintext, associated=ASSOCIATED):
    out = Kept()
    with primitive.new_encrypting_stream(out, associated) as stream:
        stream.write(plaintext)
    return out.kept


def tink_decrypt(primitive, ciphertext, associated=ASSOCIATED):
    with primitive.new_decrypting_stream(io.BytesIO(ciphertext), associated) as stream:
        return stream.read()


def ours(verb, data, tmp_path, key=KEY, associated=ASSOCIATED):
    path = tmp_path / "associated"
    path.write_bytes(associated)
    return subprocess.run([TOOL, verb, key.hex(), str(path)], input=data, capture_output=True, timeout=60)


def noise(size):
    return os.urandom(size)


@needs_tool
@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_ours(size, tink_primitive, tmp_path):
    plaintext = noise(size)
    sealed = ours("encrypt", plaintext, tmp_path)
    assert sealed.returncode == 0, sealed.stderr
    assert tink_decrypt(tink_primitive, sealed.stdout) == plaintext


@needs_tool
@pytest.mark.parametrize("size", SIZES)
def test_we_open_tinks(size, tink_primitive, tmp_path):
    plaintext = noise(size)
    sealed = tink_encrypt(tink_primitive, plaintext)
    opened = ours("decrypt", sealed, tmp_path)
    assert opened.returncode == 0, opened.stderr
    assert opened.stdout == plaintext


def damaged(sealed):
    """Ciphertexts that neither side may open, by name."""
    first, second = sealed[:MIB], sealed[MIB : 2 * MIB]
    rest = sealed[2 * MIB :]
    yield "cut by a byte", sealed[:-1]
    yield "cut between segments", first + second
    yield "appended byte", sealed + b"\0"
    yield "swapped segments", first + rest + second
    yield "doubled segment", first + second + second + rest
    yield "left out segment", first + rest
    yield "flipped bit", sealed[: MIB + 7] + bytes([sealed[MIB + 7] ^ 1]) + sealed[MIB + 8 :]
    yield "flipped salt", sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:]


@needs_tool
def test_both_refuse_the_same(tink_primitive, tmp_path):
    sealed = tink_encrypt(tink_primitive, noise(FIRST + NEXT + 100))
    assert ours("decrypt", sealed, tmp_path).returncode == 0
    for name, bad in damaged(sealed):
        assert ours("decrypt", bad, tmp_path).returncode == 1, name
        with pytest.raises(Exception):
            tink_decrypt(tink_primitive, bad)
            pytest.fail(f"Tink opened it: {name}")
    assert ours("decrypt", sealed, tmp_path, associated=b"other").returncode == 1
    assert ours("decrypt", sealed, tmp_path, key=bytes(32)).returncode == 1


def split_package(package):
    assert package[:8] == b"\x8cCLSTR\r\n"
    (length,) = struct.unpack(">I", package[8:12])
    return package[: 12 + length], package[12 : 12 + length], package[12 + length :]


def test_tink_opens_the_worked_example(tink_primitive):
    prefix, _, content = split_package((DATA / "example.cloister").read_bytes())
    assert tink_decrypt(tink_primitive, content, prefix) == (DATA / "example.tar.zst").read_bytes()


def test_header_of_the_worked_example_by_other_libraries():
    """cbor2 and cryptography read and verify what our own code wrote."""
    cbor2 = pytest.importorskip("cbor2", reason="python3-cbor2 is not installed")
    pytest.importorskip("cryptography", reason="python3-cryptography is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    _, encoded, _ = split_package((DATA / "example.cloister").read_bytes())
    header = cbor2.loads(encoded)
    assert cbor2.dumps(header, canonical=True) == encoded
    assert sorted(header) == sorted(
        "v key name public signer context release wrapped manifest signature commitment".split()
    )

    signer = Ed25519PublicKey.from_public_bytes(header["signer"])
    spki = signer.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    assert header["context"] == {
        "cloister:signer": digest.finalize().hex(),
        "cloister:name": "hello",
        "cloister:release": "1.0",
        "cloister:manifest": header["manifest"].hex(),
        "project": "blue",
    }

    unsigned = {key: value for key, value in header.items() if key != "signature"}
    message = b"cloister/package/v1\0\x8cCLSTR\r\n" + cbor2.dumps(unsigned, canonical=True)
    signer.verify(header["signature"], message)

    commitment = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"cloister/commit/v1").derive(KEY)
    assert header["commitment"] == commitment
