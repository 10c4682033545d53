"""Holds the table of limits in docs/formats/share.md against the constants in the headers."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADERS = ("src/fuse/limits.h", "src/share/limits.h")
CONSTANT = re.compile(r"inline constexpr ([\w:]+) (k\w+)(?:\s*=\s*([^;]+)|\{([^}]+)\});")
ROW = re.compile(r"^\| `(k\w+)` \| (\d+)", re.MULTILINE)


def constants(text, known=None):
    """name → number, of constants that are products, sums, quotients and shifts of numbers and earlier names."""
    values = dict(known or {})
    for _, name, assigned, braced in CONSTANT.findall(re.sub(r"//.*", "", text)):
        expression = re.sub(r"(?<=\d)(ULL|UL|U)\b", "", assigned or braced).replace("/", "//")
        expression = re.sub(r"k\w+", lambda match: str(values[match.group(0)]), expression)
        assert re.fullmatch(r"[\d\s*+/<()]+", expression), f"{name} = {expression}: not a number"
        values[name] = eval(expression.strip())  # digits and operators only
    return values


def in_headers():
    values = {}
    for header in HEADERS:
        values = constants((ROOT / header).read_text(), values)
    return values


def in_document(text):
    return {name: int(number) for name, number in ROW.findall(text)}


def test_document_names_every_limit_with_its_number():
    limits = in_headers()
    assert len(limits) > 15
    assert in_document((ROOT / "docs/formats/share.md").read_text()) == limits


def test_a_difference_would_show():
    header = "inline constexpr std::size_t kA = 1U << 4;  // note = 3;\ninline constexpr std::size_t kB =\n    kA / 2;\n" \
             "inline constexpr std::chrono::seconds kC{\n    5};  // waits\n"
    assert constants(header) == {"kA": 16, "kB": 8, "kC": 5}
    assert in_document("| `kA` | 16 bytes | x |\n| `kB` | 9 | y |\n") == {"kA": 16, "kB": 9}
