#!/usr/bin/python3
"""Adds up JUnit files: `N passed, N failed, N skipped`.

    tools/sum_tests.py --brief FILE                        the counts of one file
    tools/sum_tests.py [--failed-stages "A B"] DIRECTORY   of dev.xml, tools.xml and e2e.xml; the exit code is 1 if
                                                           anything failed
"""

import argparse
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

COUNTED = {"unit": "dev.xml", "tools": "tools.xml", "e2e": "e2e.xml"}  # stage: file
AGAIN = {"asan": "asan-ubsan.xml", "tsan": "tsan.xml"}  # the same tests once more: only their failures count


def outcome(case):
    """Of one <testcase>: CTest says it in an attribute, pytest in a child."""
    tags = {child.tag for child in case}
    if tags & {"failure", "error"} or case.get("status") == "fail":
        return "failed"
    if "skipped" in tags or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def count(path):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        cases = ElementTree.parse(path).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError):
        return counts
    for case in cases:
        counts[outcome(case)] += 1
    return counts


def total(directory, failed_stages):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for stage, name in COUNTED.items():
        for key, number in count(directory / name).items():
            counts[key] += number
    for name in AGAIN.values():
        counts["failed"] += count(directory / name)["failed"]
    for stage in failed_stages:
        # A stage that failed without a failed test (a build, a crash, a finding) is one failure.
        name = COUNTED.get(stage) or AGAIN.get(stage)
        if name is None or count(directory / name)["failed"] == 0:
            counts["failed"] += 1
    return counts


def show(counts):
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"


def main():
    parser = argparse.ArgumentParser(description="Adds up JUnit files.")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--failed-stages", default="")
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    if options.brief:
        print(show(count(options.path)))
        return 0
    counts = total(options.path, options.failed_stages.split())
    print(show(counts))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
