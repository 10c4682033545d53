"""Sorts fruit by weight, length and hue with a Gaussian naive Bayes model.

    classify.py -m model/fruit.json -d data/ -o /output/

Each DATA/*.csv has a line of names, then one fruit a line; columns that the model does not know are ignored. The
result, NAME.sorted.csv, is the same file with two columns more: the kind, and how sure the model is.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import bayes


def classify(model, source, target):
    """Writes the result. How many fruit, and of how many the file itself tells the kind, rightly guessed or not."""
    with source.open(newline="") as lines, target.open("w", newline="") as out:
        rows = csv.DictReader(lines)
        writer = csv.DictWriter(out, [*rows.fieldnames, "guess", "sure"])
        writer.writeheader()
        count = told = right = 0
        for row in rows:
            kind, sure = bayes.guess(model, [float(row[name]) for name in model["features"]])
            writer.writerow(row | {"guess": kind, "sure": f"{sure:.3f}"})
            count += 1
            told += "kind" in row
            right += row.get("kind") == kind
    return count, told, right


def main():
    parser = argparse.ArgumentParser(prog="classify.py")
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("-d", "--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    model = json.loads(options.model.read_text())
    print(f"model {options.model}: {', '.join(model['kinds'])}")
    files = sorted(options.data.glob("*.csv"))
    for source in files:
        count, told, right = classify(model, source, options.output / f"{source.stem}.sorted.csv")
        checked = f", {right} of {told} right" if told else ""
        print(f"{source.name}: {count} fruit sorted{checked}")
    if not files:
        print(f"no CSV file in {options.data}")
    return 0 if files else 1


if __name__ == "__main__":
    sys.exit(main())
