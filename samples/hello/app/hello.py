"""Says what it was called with, and adds up the numbers in /dataset/*.txt."""

import sys
from pathlib import Path

DATASET = Path("/dataset")
OUTPUT = Path("/output")


def numbers(path):
    return [float(word) for word in path.read_text(encoding="utf-8").split()]


def main():
    print("hello from the enclave:", *sys.argv, flush=True)
    total = 0.0
    for path in sorted(DATASET.glob("*.txt")):
        part = sum(numbers(path))
        print(f"{path.name}: {part:g}", flush=True)
        total += part
    (OUTPUT / "sum.txt").write_text(f"{total:g}\n", encoding="utf-8")
    print(f"sum {total:g}, written to {OUTPUT / 'sum.txt'}")


if __name__ == "__main__":
    main()
