"""Says that it runs, leaves a mark, and stays until somebody ends it. Its child tries to stay longer."""

import os
import time
from pathlib import Path

Path("/output/started").write_text("yes")
print("started", flush=True)
if os.fork() == 0:
    os.setsid()
    time.sleep(300)
time.sleep(300)
