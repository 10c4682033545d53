"""The job's half of test_coherence.py. It reads its orders, one line of JSON each, from /dataset/orders (a file that
grows), does what they say in /output, and answers in /output/answers."""

import hashlib
import json
import mmap
import os
import time

OUT = "/output"
mapped = {}


def write(name, text):
    with open(f"{OUT}/{name}", "w") as out:
        out.write(text)


def map_file(name, size):
    fd = os.open(f"{OUT}/{name}", os.O_RDWR | os.O_CREAT, 0o666)
    os.ftruncate(fd, size)
    mapped[name] = mmap.mmap(fd, size)
    os.close(fd)


def look_first(name):
    """Maps what is there, and reads it before anything is stored: such a mapping leaves no trace in any time."""
    fd = os.open(f"{OUT}/{name}", os.O_RDWR)
    mapped[name] = mmap.mmap(fd, 0)
    os.close(fd)
    return mapped[name][:].decode()


def store(name, at, text):
    mapped[name][at:at + len(text)] = text.encode()


def digest(name):
    with open(f"/dataset/{name}", "rb") as data:
        return hashlib.sha256(data.read()).hexdigest()


CALLS = {"write": write, "append": lambda name, text: open(f"{OUT}/{name}", "a").write(text), "map": map_file, "store": store, "look_first": look_first,
         "rename": lambda a, b: os.rename(f"{OUT}/{a}", f"{OUT}/{b}"), "unlink": lambda name: os.unlink(f"{OUT}/{name}"),
         "mkdir": lambda name: os.mkdir(f"{OUT}/{name}"), "truncate": lambda name, size: os.truncate(f"{OUT}/{name}", size),
         "chmod": lambda name, mode: os.chmod(f"{OUT}/{name}", mode), "digest": digest,
         "names": lambda: sorted(os.listdir("/dataset"))}

print("ready", flush=True)
with open("/dataset/orders") as orders, open(f"{OUT}/answers", "w", buffering=1) as answers:
    while True:
        line = orders.readline()
        if not line.endswith("\n"):
            orders.seek(orders.tell() - len(line))
            time.sleep(0.01)
            continue
        call, *arguments = json.loads(line)
        if call == "end":
            break
        answers.write(json.dumps(CALLS[call](*arguments)) + "\n")
