"""Leaves processes that mean to outlive it: forked twice, in sessions of their own, deaf to signals. `loud` ones hold its stdout."""

import os
import signal
import sys
import time

for number in range(8):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for deaf in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(deaf, signal.SIG_IGN)
            if sys.argv[1] == "quiet":
                os.closerange(0, 3)
            with open(f"/output/heart-{number}", "w", buffering=1) as heart:
                while True:
                    heart.write("beat\n")
                    time.sleep(0.01)
        os._exit(0)
while sum(name.startswith("heart-") for name in os.listdir("/output")) < 8:
    time.sleep(0.01)
print("the parent goes", flush=True)
