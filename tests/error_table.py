"""docs/errors.md as tests use it: a row is the line that is printed, the exit code, and the hint. Tests name the rows that they
prove (rows) and prove them (check); COVERED and TABLE must be the same in the end."""

import functools
import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/errors.md"


def read_table():
    """id → (pattern of the line, exit code, pattern of the hint or None). … in the document stands for anything."""
    rows = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| `") or len(cells) != 5:
            continue
        name = cells[0].strip("`")
        assert name not in rows, f"{name} is there twice"
        hint = re.search(r"`hint: (.*)`", cells[4])
        rows[name] = (as_pattern(cells[2].strip("`")), int(cells[3]), as_pattern(hint[1]) if hint else None)
    return rows


def as_pattern(text):
    return re.escape(text).replace("…", ".+")


TABLE = read_table()
COVERED, CHECKED = set(), set()


def rows(*names):
    """The rows that a test proves: it must call check() for each."""
    COVERED.update(names)

    def decorate(test):
        @functools.wraps(test)
        def checked(*args, **kwargs):
            test(*args, **kwargs)
            assert set(names) <= CHECKED, f"not checked: {set(names) - CHECKED}"
        return checked
    return decorate


def code_of(done):
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def check(name, done):
    """One clear line, its hint, its exit code."""
    line, code, hint = TABLE[name]
    lines = done.stderr.splitlines()
    assert code_of(done) == code, (name, done)
    assert any(re.fullmatch(line, one) for one in lines) if line else lines == [], (name, lines)
    hints = [one.removeprefix("hint: ") for one in lines if one.startswith("hint: ")]
    assert len(hints) == (hint is not None) and (hint is None or re.fullmatch(hint, hints[0])), (name, hints)
    own = [one for one in lines if one.startswith(("cloister: ", "cloister-kms: "))]
    assert len(own) <= 1 and len(lines) <= 2, (name, lines)
    CHECKED.add(name)
