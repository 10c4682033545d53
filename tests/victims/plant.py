"""Plants in /output what would hurt whoever looks at it from the host: {"name": outcome}."""

import errno
import json
import os
import socket
import stat

os.chdir("/output")
report = {}


def plant(name, action):
    try:
        action()
        report[name] = "succeeded"
    except OSError as error:
        report[name] = errno.errorcode.get(error.errno, str(error.errno))


def written(name, mode=0o644):
    with open(name, "w") as file:
        file.write("planted\n")
        os.fchmod(file.fileno(), mode)


def bound(name):
    server = socket.socket(socket.AF_UNIX)
    server.bind(name)


plant("plain", lambda: written("plain"))
plant("link inside", lambda: os.symlink("plain", "link inside"))
plant("link absolute", lambda: os.symlink("/etc/shadow", "link absolute"))
plant("link outward", lambda: os.symlink("../../../../../../etc/shadow", "link outward"))
plant("link in disguise", lambda: (os.mkdir("deep"), os.symlink("deep/../../../etc/shadow", "link in disguise")))
plant("link to proc", lambda: os.symlink("/proc/self/root", "link to proc"))
plant("link to packages", lambda: os.symlink("../encrypted", "link to packages"))
plant("fifo", lambda: os.mkfifo("fifo"))
plant("setuid", lambda: written("setuid", 0o6755))
plant("setgid directory", lambda: (os.mkdir("setgid directory"), os.chmod("setgid directory", 0o2777)))
plant("sticky", lambda: (os.mkdir("sticky"), os.chmod("sticky", 0o1777)))
plant("socket", lambda: bound("socket"))
plant("null", lambda: os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3)))
plant("disk", lambda: os.mknod("disk", 0o666 | stat.S_IFBLK, os.makedev(8, 0)))
plant("whiteout", lambda: os.mknod("whiteout", 0o666 | stat.S_IFCHR, 0))
plant("\33]52;c;ZXZpbA==\7", lambda: written("\33]52;c;ZXZpbA==\7"))
plant("two\nlines", lambda: written("two\nlines"))
plant("not\udcff utf-8", lambda: written("not\udcff utf-8"))
plant("-rf", lambda: written("-rf"))
plant("capability", lambda: os.setxattr("plain", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000")))
plant("trusted", lambda: os.setxattr("plain", "trusted.overlay.opaque", b"y"))
plant("chown", lambda: os.chown("plain", 0, 0))
print(json.dumps(report))
