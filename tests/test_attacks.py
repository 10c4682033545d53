"""docs/security/attacks.md and key-release.md name tests; what is named has to exist, or a row claims what nobody tries."""

import re

import pytest

import lab as laboratory

PAGES = ["docs/security/attacks.md", "docs/security/key-release.md"]
LEAST = 60  # attacks, each with a test
NAMED = re.compile(r"`((?:tests|src)/[\w./]+?\.(?:py|cc))::([^`]+)`")


def missing(path, name, root=laboratory.ROOT):
    """Why there is no such test, or None."""
    file = root / path
    if not file.is_file():
        return f"no file {path}"
    text = file.read_text()
    if path.endswith(".cc"):
        return None if re.search(rf"^TEST(_F|_P)?\(\w+, {re.escape(name)}\)", text, re.M) else f"no test {name} in {path}"
    function, _, case = name.partition("[")
    if not re.search(rf"^def {re.escape(function)}\(", text, re.M):
        return f"no test {function} in {path}"
    if case and f'"{case.removesuffix("]")}"' not in text:
        return f"no case {case} of {function} in {path}"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page):
    named = NAMED.findall((laboratory.ROOT / page).read_text())
    assert named
    assert [why for path, name in named if (why := missing(path, name))] == []


def test_every_attack_has_its_number_and_a_test():
    rows = [line for line in (laboratory.ROOT / PAGES[0]).read_text().splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) >= LEAST
    assert [row for row in rows if len(row.split(" | ")) != 5 or not NAMED.search(row)] == []


@pytest.mark.parametrize("path, name, why", [
    ("tests/test_nothing.py", "test_x", "no file"),
    ("tests/test_attacks.py", "test_of_another_name", "no test"),
    ("tests/test_attacks.py", "test_every_test_that_is_named_exists[no such case]", "no case"),
    ("src/enclave/slots_test.cc", "ThatIsNotThere", "no test"),
])
def test_what_does_not_exist_is_found(path, name, why):
    assert missing(path, name).startswith(why)
