"""Ignores every signal that can be ignored, as its children do, and stays."""

import os
import signal
import time

for number in range(1, signal.NSIG):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass  # SIGKILL, SIGSTOP
os.fork()
os.fork()
if os.getpid() > 0:
    os.write(1, b"here\n")
while True:
    time.sleep(60)
