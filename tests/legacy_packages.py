"""Packages as the old Python sample's encryptor makes them."""

import base64
import io
import struct
import zipfile

from cryptography.fernet import Fernet


def seal(lab, key, archive, plaintext_key=None):
    """What the sample's encryptor writes: length, wrapped key, token."""
    made = lab.kms_client("owner").generate_data_key(KeyId=key, NumberOfBytes=32)
    token = Fernet(base64.urlsafe_b64encode(plaintext_key or made["Plaintext"])).encrypt(archive)
    return struct.pack(">I", len(made["CiphertextBlob"])) + made["CiphertextBlob"] + token


def zipped(*members, attributes=0o100644):
    """A zip of (name, content) pairs, with Unix's type and mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr, info.compress_type = 3, attributes << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()
