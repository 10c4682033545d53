"""Writes to the user's model directory, says much on stderr, and fails with its owner's secret in the traceback."""

import sys
from pathlib import Path

Path("/model/learnt").write_text("x")
print("working")
sys.stderr.write("noise\n" * 20000)
raise RuntimeError("the owner's secret: " + Path(__file__).name)
