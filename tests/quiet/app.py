"""Writes to both streams; its manifest lets only the second one reach the caller."""

import sys

print("not for the caller")
print("for the caller", file=sys.stderr)
