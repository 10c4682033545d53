"""A second writer of attestation documents, made from the published specification alone, which can lie at every place.

make() is an honest module: root, regional, zonal, instance and leaf certificates, a payload, a COSE_Sign1 message. Each of its
arguments is what a liar would change."""

import datetime
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID, ObjectIdentifier

NOW = datetime.datetime(2023, 11, 14, 22, 13, 20)
MILLIS = 1_700_000_000_000
HOUR = datetime.timedelta(hours=1)
LEVELS = ("root", "regional", "zonal", "instance", "leaf")
AUTHORITIES = LEVELS[:-1]
PATH_LENGTHS = {"root": None, "regional": 2, "zonal": 1, "instance": 0}
MODULE = "i-0123456789abcdef0-enc0123456789abcdef"
ORDER = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)
SCALAR = 48  # bytes

BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = (ObjectIdentifier(f"2.5.29.{n}") for n in (19, 15, 37))
UNKNOWN = ObjectIdentifier("1.3.6.1.4.1.55555.1")
ES384_IDENTIFIER = bytes.fromhex("300a06082a8648ce3d040303")  # ecdsa-with-SHA384
ES256_IDENTIFIER = bytes.fromhex("300a06082a8648ce3d040302")

KEYS = {level: ec.generate_private_key(ec.SECP384R1()) for level in (*LEVELS, "stranger")}
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


# --- CBOR -------------------------------------------------------------------------------------------------------------------


def head(major, value):
    """RFC 8949 section 3, the shortest form."""
    for info, code, limit in ((None, None, 24), (24, ">B", 1 << 8), (25, ">H", 1 << 16), (26, ">I", 1 << 32), (27, ">Q", 1 << 64)):
        if value < limit:
            return bytes([major << 5 | value]) if info is None else bytes([major << 5 | info]) + struct.pack(code, value)
    raise ValueError(value)


def number(value):
    return head(0, value) if value >= 0 else head(1, -1 - value)


def blob(value):
    return head(2, len(value)) + value


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return head(3, len(raw)) + raw


def array(items):
    return head(4, len(items)) + b"".join(items)


def mapping(pairs):
    return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)


def registers(**changes):
    """Honest PCRs as pairs of encoded key and encoded value."""
    pcrs = {index: bytes([index + 1]) * 48 for index in range(3)} | {index: bytes(48) for index in range(3, 16)}
    return [(number(index), blob(value)) for index, value in pcrs.items()]


# --- certificates -----------------------------------------------------------------------------------------------------------


def der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + struct.pack(">H", size)
    return bytes([tag]) + length + content


def name(level):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forge"), x509.NameAttribute(NameOID.COMMON_NAME, level)])


def usage(**bits):
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
             "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{bit: bits.get(bit, False) for bit in every})


def extensions_of(level):
    """(extension, critical) by object identifier."""
    authority = level in AUTHORITIES
    return {BASIC_CONSTRAINTS: (x509.BasicConstraints(authority, PATH_LENGTHS.get(level)), True),
            KEY_USAGE: (usage(key_cert_sign=True) if authority else usage(digital_signature=True), True)}


def sealed(body, signer, identifier=ES384_IDENTIFIER, digest=None):
    """A certificate of this body (tbsCertificate), signed whatever it says."""
    signature = signer.sign(body, ec.ECDSA(digest or hashes.SHA384()))
    return der(0x30, body + identifier + der(0x03, b"\0" + signature))


def certificate(level, key, issuer, *, start=-HOUR, end=HOUR, extensions=None, issuer_name=None, signer=None, digest=None,
                body=None, der_edit=None):
    """extensions: {identifier: None to drop, or (extension, critical)}; body, der_edit: what to do with the encoded bytes."""
    builder = x509.CertificateBuilder(name(issuer_name or issuer), name(level), key.public_key(), x509.random_serial_number(),
                                      NOW + start, NOW + end)
    for entry in (extensions_of(level) | (extensions or {})).values():
        if entry is not None:
            builder = builder.add_extension(*entry)
    signer = signer or KEYS[issuer]
    made = builder.sign(signer, digest or hashes.SHA384())
    raw = made.public_bytes(serialization.Encoding.DER)
    if body:
        raw = sealed(body(made.tbs_certificate_bytes), signer)
    return der_edit(raw) if der_edit else raw


def raw_extension(identifier, value, critical=True):
    return {identifier: (x509.UnrecognizedExtension(identifier, value), critical)}


# --- documents --------------------------------------------------------------------------------------------------------------


def fields(leaf, bundle):
    """The payload as a list of [name, encoded value]."""
    return [["module_id", text(MODULE)], ["digest", text("SHA384")], ["timestamp", number(MILLIS)], ["pcrs", mapping(registers())],
            ["certificate", blob(leaf)], ["cabundle", array([blob(one) for one in bundle])], ["public_key", b"\xf6"],
            ["user_data", b"\xf6"], ["nonce", blob(b"nonce")]]


def encoded(entries):
    return mapping([(text(key), value) for key, value in entries])


def raw_signature(key, message):
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(SCALAR, "big") + s.to_bytes(SCALAR, "big")


def signed_bytes(protected, payload, aad=b""):
    return array([text("Signature1"), blob(protected), blob(aad), blob(payload)])


PROTECTED = mapping([(number(1), number(-35))])


def make(*, certificates=None, keys=None, bundle=None, entries=None, payload=None, protected=PROTECTED, unprotected=b"\xa0",
         covered=signed_bytes, signer=None, signature=None, parts=None, whole=None):
    """A document and the root (PEM) that it should verify under.

    certificates: {level: changes to certificate()}; keys: {level: another key}; bundle, entries, payload, signature, parts, whole:
    functions that take what an honest module has and give what to use; covered: what is signed; signer: who signs."""
    own = KEYS | (keys or {})
    made = {}
    for level, issuer in zip(LEVELS, ("root", *AUTHORITIES)):
        changes = {"signer": own[issuer]} | (certificates or {}).get(level, {})
        made[level] = certificate(level, own[level], issuer, **changes)
    chain = [made[level] for level in AUTHORITIES]
    listed = fields(made["leaf"], bundle(chain) if bundle else chain)
    content = encoded(entries(listed) if entries else listed)
    content = payload(content) if payload else content
    seal = raw_signature(signer or (own["leaf"] if isinstance(own["leaf"], ec.EllipticCurvePrivateKey) else KEYS["leaf"]),
                         covered(protected, content))
    seal = signature(seal) if signature else seal
    items = [blob(protected), unprotected, blob(content), blob(seal)]
    message = array(parts(items) if parts else items)
    pem = x509.load_der_x509_certificate(made["root"]).public_bytes(serialization.Encoding.PEM)
    return (whole(message) if whole else message), pem
