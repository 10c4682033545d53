"""Enclave images that nothing boots, for what only reads them (docs/formats/eif.md): a kernel of a few bytes, one ramdisk of zeros."""

import gzip
import json
import struct
import zlib

KERNEL, COMMAND_LINE, RAMDISK, METADATA = 1, 2, 3, 5
SECTIONS = 32


def cpio_entry(name, size, mode=0o100644):
    fields = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + bytes(size) + b"\0" * (-size % 4)


def ramdisk(mib):
    return gzip.compress(cpio_entry("content", mib << 20) + cpio_entry("TRAILER!!!", 0, 0), compresslevel=1, mtime=0)


def write_image(path, unpacked_mib, memory_mib=1024, cpus=2, mode="production", arm64=False):
    """An image whose ramdisk unpacks to so much, and packs to a thousandth of it."""
    build = {"BuildTime": "now", "BuildTool": "test", "BuildToolVersion": "1", "OperatingSystem": "none", "KernelVersion": "6.12"}
    metadata = {"ImageName": "small", "ImageVersion": "1", "BuildMetadata": build, "DockerInfo": {}, "CustomMetadata": {"mode": mode}}
    sections = [(KERNEL, b"kernel"), (COMMAND_LINE, b"reboot=k"), (METADATA, json.dumps(metadata).encode()), (RAMDISK, ramdisk(unpacked_mib))]
    offsets, body = [], b""
    for kind, data in sections:
        offsets.append(548 + len(body))
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    empty = [0] * (SECTIONS - len(sections))
    header = struct.pack(">4sHHQQHH32Q32QI", b".eif", 4, int(arm64), memory_mib << 20, cpus, 0, len(sections), *offsets, *empty,
                         *(len(data) for _, data in sections), *empty, 0)
    path.write_bytes(header + struct.pack(">I", zlib.crc32(header + body)) + body)
    return path
