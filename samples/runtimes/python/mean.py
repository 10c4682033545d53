"""The mean of the numbers in /dataset/*.txt: a module beside the script, and a package that PYTHONPATH names."""

from pathlib import Path

import roundhalf
from statistic import mean

numbers = [float(word) for path in sorted(Path("/dataset").glob("*.txt")) for word in path.read_text().split()]
result = roundhalf.up(mean.of(numbers))
Path("/output/mean.txt").write_text(f"{result:.2f}\n")
print(f"python: {len(numbers)} numbers, mean {result:.2f}")
