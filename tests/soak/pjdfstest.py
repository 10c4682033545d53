"""pjdfstest, already built, on a folder that keeps owners: what fails must be what pjdfstest.exclusions says, and why.
CLOISTER_PJDFSTEST is its directory: the program `pjdfstest`, and beside it `tests/`. Nothing is downloaded or built here."""

import os
import re
import subprocess
from pathlib import Path

import pytest

import lab as laboratory

HERE = Path(__file__).resolve().parent
TEST_SECONDS = 300  # for one of pjdfstest's scripts
SUITE = os.environ.get("CLOISTER_PJDFSTEST")

pytestmark = [
    pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not())),
    pytest.mark.skipif(not SUITE, reason="SKIP: CLOISTER_PJDFSTEST does not name the directory of a built pjdfstest"),
    pytest.mark.timeout(3600),
]


def read_exclusions():
    """(test, number) → reason."""
    out, reason = {}, None
    for line in (HERE / "pjdfstest.exclusions").read_text().splitlines():
        if line.startswith("= "):
            reason = line[2:]
        elif line and not line.startswith("#"):
            test, *ranges = line.split()
            for each in ranges:
                first, _, last = each.partition("-")
                out |= {(test, number): reason for number in range(int(first), int(last or first) + 1)}
    return out


def run_suite(directory):
    """(test, number) → what is said of a check that failed, or None where it passed."""
    results = {}
    suite = Path(SUITE).resolve()
    for script in sorted((suite / "tests").rglob("*.t")):
        done = subprocess.run(["sh", script], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=TEST_SECONDS)
        name = str(script.relative_to(suite / "tests"))
        for verdict, number, rest in re.findall(r"^(ok|not ok) (\d+)(.*)$", done.stdout, re.MULTILINE):
            failed = verdict == "not ok" and "# TODO" not in rest  # TAP: it is known not to hold
            results[name, int(number)] = rest.strip(" -") if failed else None
    return results


def test_pjdfstest(lab, capsys):
    lab.root.chmod(0o755)
    (lab.root / "user").chmod(0o755)
    lab.up(share_mib=1024)
    lab.ok("user", "sync", "-d", "shared", "--ownership=keep", "--allow-other")
    results = run_suite(lab.root / "user/shared")
    excluded = read_exclusions()
    failed = {check for check, said in results.items() if said is not None}
    surprises = sorted(failed - set(excluded))
    with capsys.disabled():
        print(f"\n{len(results)} checks, {len(results) - len(failed)} passed, {len(failed) - len(surprises)} failed as they should")
        for reason in dict.fromkeys(excluded.values()):
            mine = {check for check, why in excluded.items() if why == reason}
            print(f"{len(mine & failed):5} fail, {len(mine - failed)} pass although excluded: {reason}")
    assert len(results) > 1000, "hardly anything was run"
    assert not surprises, "\n".join(f"{test} {number}: {results[test, number]}" for test, number in surprises)
