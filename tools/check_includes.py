#!/usr/bin/python3
"""Proves that includes point down: src/CMakeLists.txt says which room may use which, this reads the sources.

    tools/check_includes.py [--root DIR] [--sizes warn|error|off]

One line per finding, `file:line: what`. Exit code 1 if there is an error. What it holds:

- a file of src/X includes "Y/…" only if Y is X or stands in X's USES, and a room uses only rooms listed above it;
- each heavy or sensitive library is seen by its rooms only (LIBRARIES), or by rooms that link it (EXTERNAL);
- the programs that ship to enclaves and users do not include the emulator;
- a program's main file is short, and so are headers and sources (--sizes).
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

MAX_MAIN_LINES = 60
MAX_HEADER_LINES = 200
MAX_SOURCE_LINES = 400
HEADERS = {".h", ".hpp"}
SOURCES = {".cc", ".cpp", ".c"}
# Programs in apps/ that may link the emulator; the others go into enclaves or to users.
EMULATING_PROGRAMS = {"cloisterd-sim", "cloister-kms", "cloister-nsm"}

ROOM = re.compile(r"^\s*cloister_room\(\s*([\w-]+)([^)]*)\)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)')


@dataclass(frozen=True)
class Library:
    name: str
    headers: re.Pattern
    rooms: frozenset  # that may include it, beside those that `external` names
    external: str = ""  # a room that links this (EXTERNAL in the table) may include it
    sources_only: bool = False  # too heavy, or too leaky, for a header


LIBRARIES = (
    Library("OpenSSL", re.compile(r"openssl/"), frozenset({"crypto"})),
    Library("Boost", re.compile(r"boost/"), frozenset({"http"}), sources_only=True),
    Library("yaml-cpp", re.compile(r"yaml-cpp/"), frozenset({"host", "cli", "builder"})),
    Library("libarchive", re.compile(r"archive(_entry)?\.h$"), frozenset({"builder"}), sources_only=True),
    Library("SQLite", re.compile(r"sqlite3(ext)?\.h$"), frozenset({"emulator"})),
    Library("libseccomp", re.compile(r"seccomp\.h$"), frozenset({"sandbox"})),
    Library("CLI11", re.compile(r"CLI/"), frozenset({"cli", "emulator"})),
    Library("zstd", re.compile(r"zstd(_errors)?\.h$"), frozenset(), external="zstd"),
    Library("zlib", re.compile(r"zlib\.h$"), frozenset(), external="zlib", sources_only=True),
    Library("nlohmann-json", re.compile(r"nlohmann/"), frozenset(), external="json"),
)


@dataclass
class Room:
    name: str
    uses: list = field(default_factory=list)
    external: list = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str
    warning: bool = False

    def __str__(self):
        return f"{self.path}:{self.line}: {'warning: ' if self.warning else ''}{self.message}"


def parse_rooms(text):
    """The table of src/CMakeLists.txt, in its order."""
    text = re.sub(r"#.*", "", text)
    rooms = {}
    for match in ROOM.finditer(text):
        room, target = Room(match[1]), None
        for word in match[2].split():
            if word in ("USES", "EXTERNAL"):
                target = room.uses if word == "USES" else room.external
            elif target is None:
                raise ValueError(f"room {room.name}: {word} stands before USES and EXTERNAL")
            else:
                target.append(word)
        if room.name in rooms:
            raise ValueError(f"room {room.name} is listed twice")
        rooms[room.name] = room
    if not rooms:
        raise ValueError("no cloister_room(…) found")
    return rooms


def check_table(rooms, path):
    seen = set()
    for room in rooms.values():
        for used in room.uses:
            if used not in seen:
                yield Finding(path, 1, f"room {room.name} uses {used}, which is not listed above it")
        seen.add(room.name)


def includes(text):
    """(line number, quoted path or None, angled path or None) of each include directive."""
    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1], match[2]


def check_library(header, room, path, line):
    for library in LIBRARIES:
        if not library.headers.match(header):
            continue
        allowed = room.name in library.rooms or (library.external and library.external in room.external)
        if not allowed:
            yield Finding(path, line, f"{library.name} may not be included by room {room.name}")
        elif library.sources_only and Path(path).suffix in HEADERS:
            yield Finding(path, line, f"{library.name} may be included by sources only, not by headers")


def check_room_file(path, text, room, rooms, is_ours):
    for line, quoted, angled in includes(text):
        yield from check_library(quoted or angled, room, path, line)
        if quoted is None:
            if is_ours(angled):  # <sys/stat.h> is the system's, <sys/fd.h> would be ours
                yield Finding(path, line, f'<{angled}> is ours: write "{angled}"')
            continue
        target = quoted.split("/")[0]
        if "/" not in quoted or target in (".", ".."):
            yield Finding(path, line, f'"{quoted}" does not name its room')
        elif target not in rooms:
            yield Finding(path, line, f'"{quoted}": there is no room {target}')
        elif target != room.name and target not in room.uses:
            yield Finding(path, line, f"room {room.name} may not use room {target}")


def check_app_file(path, text):
    """path is relative to the root: apps/NAME.cc or apps/NAME/….cc"""
    name = Path(path).parts[1]
    program = name if len(Path(path).parts) > 2 else Path(name).stem
    lines = text.count("\n")
    if re.search(r"^\s*(int|auto)\s+main\s*\(", text, re.MULTILINE) and lines >= MAX_MAIN_LINES:
        yield Finding(path, lines, f"a main of {lines} lines; it must stay under {MAX_MAIN_LINES}")
    nowhere = Room("of apps")
    nowhere.external = ["json", "zstd"]
    for line, quoted, angled in includes(text):
        yield from check_library(quoted or angled, nowhere, path, line)
        if (quoted or angled).startswith("emulator/") and program.replace("_", "-") not in EMULATING_PROGRAMS:
            yield Finding(path, line, f"program {program} may not contain the emulator")


def check_size(path, text, warning):
    lines = text.count("\n")
    limit = MAX_HEADER_LINES if Path(path).suffix in HEADERS else MAX_SOURCE_LINES
    if lines >= limit:
        yield Finding(path, lines, f"{lines} lines; it should stay under {limit}: split it by idea", warning)


def source_files(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in HEADERS | SOURCES and p.is_file())


def check_tree(root, sizes="warn"):
    table = root / "src" / "CMakeLists.txt"
    try:
        rooms = parse_rooms(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        return [Finding("src/CMakeLists.txt", 1, str(problem))]

    def is_ours(header):
        return (root / "src" / header).is_file()

    findings = list(check_table(rooms, "src/CMakeLists.txt"))
    for file in source_files(root / "src") + source_files(root / "apps"):
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8", errors="replace")
        where = Path(path).parts
        if where[0] == "apps":
            findings += check_app_file(path, text)
        elif len(where) < 3 or where[1] not in rooms:
            findings.append(Finding(path, 1, "belongs to no room of src/CMakeLists.txt"))
        else:
            findings += check_room_file(path, text, rooms[where[1]], rooms, is_ours)
        if sizes != "off":
            findings += check_size(path, text, warning=sizes == "warn")
    return findings


def main():
    parser = argparse.ArgumentParser(description="Checks the directions of includes.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--sizes", choices=("warn", "error", "off"), default="warn",
                        help="what a header or source over its limit is")
    options = parser.parse_args()
    findings = check_tree(options.root, options.sizes)
    for finding in findings:
        print(finding)
    errors = sum(not finding.warning for finding in findings)
    warnings = len(findings) - errors
    print(f"includes: {errors} errors, {warnings} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
