"""Makes a model for classify.py of fruit whose kind is known.

    fit.py -d /dataset/ -o /output/fruit.json
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import bayes


def main():
    parser = argparse.ArgumentParser(prog="fit.py")
    parser.add_argument("-d", "--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    features, samples = None, {}
    for source in sorted(options.data.glob("*.csv")):
        with source.open(newline="") as lines:
            rows = csv.DictReader(lines)
            features = [name for name in rows.fieldnames if name != "kind"]
            for row in rows:
                samples.setdefault(row["kind"], []).append([float(row[name]) for name in features])
    if not samples:
        print(f"no CSV file in {options.data}")
        return 1
    options.output.write_text(json.dumps(bayes.fit(features, samples), indent=1) + "\n")
    count = sum(len(rows) for rows in samples.values())
    print(f"{options.output}: a model of {count} fruit, {', '.join(sorted(samples))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
