"""The documents name tests, so that a reader can try what they say; the tests are there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"`tests/(test_\w+\.py::\w+(?:\[[^\]]+\])?)`")


def named():
    return {name: page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] for name in NAMED.findall(page.read_text())}


def collected():
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-c", "tests/pytest.ini", "tests"], cwd=ROOT, text=True,
                          capture_output=True, timeout=120)
    return {line.removeprefix("tests/") for line in done.stdout.splitlines() if "::" in line}


def test_every_test_that_a_document_names_is_there():
    wanted = named()
    assert len(wanted) > 20
    there = collected()
    there |= {name.partition("[")[0] for name in there}
    assert {name: page.name for name, page in wanted.items() if name not in there} == {}
