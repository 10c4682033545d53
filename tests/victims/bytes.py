"""Writes every byte value, split in the middle of a UTF-8 sequence."""

import os
import sys
import time

os.write(1, bytes(range(256)))
os.write(1, "é".encode()[:1])
time.sleep(0.2)
os.write(1, "é".encode()[1:])
sys.stdout.flush()
