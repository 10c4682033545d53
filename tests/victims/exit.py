"""Ends as it is told: an exit code, or the number of a signal to die of."""

import os
import sys

what, number = sys.argv[1], int(sys.argv[2])
print("before the end", flush=True)
print("owner-secret-traceback", file=sys.stderr, flush=True)
if what == "signal":
    os.kill(os.getpid(), number)
sys.exit(number)
