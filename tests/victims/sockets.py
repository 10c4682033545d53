"""Opens a socket, and a pair, of every family and type: {"family type": outcome}."""

import errno
import json
import socket

FAMILIES = range(64)  # Linux knows fewer than 50
TYPES = {1: "stream", 2: "datagram", 3: "raw", 4: "rdm", 5: "seqpacket", 6: "dccp", 10: "packet"}


def attempt(make, *arguments):
    try:
        made = make(*arguments)
        for one in made if isinstance(made, tuple) else (made,):
            one.close()
        return "succeeded"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


report = {}
for family in FAMILIES:
    for kind, name in TYPES.items():
        report[f"{family} {name}"] = attempt(socket.socket, family, kind)
        report[f"{family} {name} pair"] = attempt(socket.socketpair, family, kind)
print(json.dumps(report))
