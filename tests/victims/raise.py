"""Fails as applications do: with a traceback that quotes the owner's source."""

import sys

owner_secret_weight = 0.125
print("before the end", flush=True)
print("owner-secret-note", file=sys.stderr, flush=True)
raise RuntimeError(f"owner-secret-message {owner_secret_weight}")
