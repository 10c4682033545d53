"""What runs on this machine, and what is mounted: read from /proc."""

import os
from pathlib import Path


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def direct_children(pid):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and alive(int(entry.name)):
                stat = (entry / "stat").read_text()
                if int(stat[stat.rindex(")") + 2:].split()[1]) == pid:
                    found.append(int(entry.name))
        except OSError:
            pass  # it ended meanwhile
    return found


def was_hit(target, number):
    """A record may name a process that has just ended, until the next one is written."""
    try:
        os.kill(target(), number)
    except (ProcessLookupError, StopIteration):
        return False
    return True


def processes_below(pid):
    """pid → user, of every descendant that is alive."""
    found, waiting = {}, [pid]
    while waiting:
        for child in direct_children(waiting.pop()):
            waiting.append(child)
            found[child] = user_of(child)
    return found


def user_of(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def leftovers(lab):
    """Processes and mounts below this directory."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if str(lab.root) in line]
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(lab.root).encode() in (entry / "cmdline").read_bytes() and alive(int(entry.name)):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            pass
    return found
