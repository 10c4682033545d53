"""Compares recognised pages with expected_words.json: one line per page, exit code 1 if one falls short.

    check_output.py OUTPUT_DIR
"""

import json
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent


def share_found(expected, text):
    """How many of the expected words stand in the text, each as often as it is expected."""
    wanted = Counter(word for line in expected for word in line.split())
    return (wanted & Counter(text.split())).total(), wanted.total()


def check(output, name, page):
    if not (output / f"{name}.txt").is_file():
        return None
    facts = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
    found, wanted = share_found(page["lines"], (output / f"{name}.txt").read_text(encoding="utf-8"))
    inside = all(0 <= x and 0 <= y and x + w <= facts["width"] and y + h <= facts["height"]
                 for x, y, w, h in (word["box"] for word in facts["words"]))
    good = found >= page["at_least"] * wanted and inside and (output / f"{name}.annotated.png").is_file()
    print(f"{name}: {found} of {wanted} words{'' if good else ', too few or boxes outside the page'}")
    return good


def main():
    output = Path(sys.argv[1])
    known = json.loads((HERE / "expected_words.json").read_text(encoding="utf-8"))
    results = [check(output, name, page) for name, page in known.items()]
    if not any(result is not None for result in results):
        print("no known page among the results")
        return 1
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
