"""Takes all there is of something, in bounds that end the test rather than the machine, and says how much it got and why no more."""

import errno
import json
import os
import sys
import time

MIB = 1 << 20
AT_MOST_MIB = 3 * 1024
AT_MOST = 5000  # processes, descriptors


def memory():
    held = []
    try:
        while len(held) < AT_MOST_MIB:
            held.append(bytearray(MIB))
    except MemoryError:
        count = len(held)
        held.clear()
        return count, "MemoryError"
    return len(held), "no end"


def processes():
    for count in range(AT_MOST):
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except OSError as error:
            return count, errno.errorcode[error.errno]
    return AT_MOST, "no end"


def descriptors():
    held = []
    for count in range(AT_MOST):
        try:
            held.append(os.dup(1))
        except OSError as error:
            os.closerange(held[0], held[-1] + 1)
            return count, errno.errorcode[error.errno]
    return AT_MOST, "no end"


def directory(path):
    name = f"{path}/fill"
    file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
    piece = bytes(8 * MIB)
    done = 0
    try:
        while done < AT_MOST_MIB * MIB:
            done += os.write(file, piece)
        return done // MIB, "no end"
    except OSError as error:
        return done // MIB, errno.errorcode[error.errno]
    finally:
        os.unlink(name)


def standard_output():
    line = b"x" * 65535 + b"\n"
    for _ in range(64 * 16):
        os.write(1, line)
    return 64, "no end"


what = sys.argv[1]
known = {"memory": memory, "processes": processes, "descriptors": descriptors, "stdout": standard_output}
count, reason = known[what]() if what in known else directory(what)
print(json.dumps({"count": count, "reason": reason}))
