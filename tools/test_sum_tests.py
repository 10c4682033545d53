"""Tests of sum_tests.py: no failure may be lost on the way to the closing line."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import sum_tests  # noqa: E402

CTEST = """<testsuite name="x" tests="4" failures="1" disabled="1" skipped="1">
<testcase name="a" status="run"/>
<testcase name="b" status="fail"><failure message="no"/></testcase>
<testcase name="c" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>
<testcase name="d" status="disabled"/></testsuite>"""
PYTEST = """<testsuites><testsuite><testcase name="a"/><testcase name="b"><skipped/></testcase>
<testcase name="c"><error/></testcase></testsuite></testsuites>"""
CLEAN = """<testsuite><testcase name="a" status="run"/></testsuite>"""


def put(directory, **files):
    for name, text in files.items():
        (directory / f"{name.replace('_', '-')}.xml").write_text(text)
    return directory


def test_both_dialects_are_added(tmp_path):
    put(tmp_path, dev=CTEST, e2e=PYTEST)
    assert sum_tests.total(tmp_path, ["unit", "e2e"]) == {"passed": 2, "failed": 2, "skipped": 3}


def test_sanitizer_run_counts_failures_only(tmp_path):
    put(tmp_path, dev=CLEAN, asan_ubsan=CTEST)
    assert sum_tests.total(tmp_path, ["asan"]) == {"passed": 1, "failed": 1, "skipped": 0}
    put(tmp_path, tsan=CTEST)
    assert sum_tests.total(tmp_path, ["asan", "tsan"]) == {"passed": 1, "failed": 2, "skipped": 0}


def test_failed_stage_without_failed_test_is_one_failure(tmp_path):
    put(tmp_path, dev=CLEAN)
    assert sum_tests.total(tmp_path, ["build"])["failed"] == 1
    assert sum_tests.total(tmp_path, ["unit"])["failed"] == 1, "a crash of ctest after its tests passed"
    assert sum_tests.total(tmp_path, ["e2e", "fuzz"])["failed"] == 2, "no file at all"


def test_broken_file_counts_as_empty_but_its_stage_fails(tmp_path):
    put(tmp_path, e2e="<testsuite><testcase")
    assert sum_tests.total(tmp_path, ["e2e"]) == {"passed": 0, "failed": 1, "skipped": 0}


def test_exit_code(tmp_path, monkeypatch, capsys):
    put(tmp_path, dev=CLEAN)
    monkeypatch.setattr(sys, "argv", ["sum_tests.py", str(tmp_path)])
    assert sum_tests.main() == 0
    assert capsys.readouterr().out == "1 passed, 0 failed, 0 skipped\n"
    monkeypatch.setattr(sys, "argv", ["sum_tests.py", "--failed-stages", "tidy", str(tmp_path)])
    assert sum_tests.main() == 1
    assert capsys.readouterr().out == "1 passed, 1 failed, 0 skipped\n"
