"""`cloister host prepare` on a machine that is a directory: what it shows, asks, changes and leaves as it is."""

import json
import os
import pty
import subprocess

import pytest

SECONDS = 50
ALLOCATOR = "etc/nitro_enclaves/allocator.yaml"
NODE = "sys/devices/system/node/node0"
INSTALLED = "---\n# Enclave configuration file.\n#\nmemory_mib: 512\n#\ncpu_count: 2\n# cpu_pool: 2,3,6-9\n"

# Every program that is started: it notes how, and does what the real one would do to the directory.
PROGRAM = """#!/usr/bin/python3
import json, re, sys
from pathlib import Path
root = Path(__file__).resolve().parent.parent
name, words = Path(sys.argv[0]).name, sys.argv[1:]
state = json.loads((root / "state.json").read_text())
with open(root / "called", "a") as called:
    called.write(" ".join([name] + words) + chr(10))

def end(code=0, out="", err=""):
    (root / "state.json").write_text(json.dumps(state))
    print(out, end="")
    print(err, end="", file=sys.stderr)
    sys.exit(code)

if name == "systemctl" and words[0] == "show":
    end(out=f"LoadState={state['load']}\\nActiveState={state['active']}\\nUnitFileState={state['enabled']}\\n")
if name == "systemctl" and words[0] == "enable":
    state["enabled"] = "enabled"
    end()
if name == "systemctl" and words[0] == "restart":
    text = (root / "ALLOCATOR").read_text()
    memory, cpus = (int(re.search(rf"^{key}: (\\d+)$", text, re.M)[1]) for key in ("memory_mib", "cpu_count"))
    if memory > state["available"]:
        state["active"] = "failed"
        end(1, err="Job for nitro-enclaves-allocator.service failed because the control process exited with error code.\\n")
    state["active"] = "active"
    (root / "NODE/hugepages/hugepages-2048kB/nr_hugepages").write_text(str(memory // 2))
    (root / "sys/module/nitro_enclaves/parameters/ne_cpus").write_text(",".join(map(str, range(2, 2 + cpus))) + "\\n")
    end()
if name == "journalctl":
    end(out="Configuring the huge page memory...\\nError: Failed to configure entire amount of requested memory.\\nMain process exited\\n")
if name == "getent":
    end(0 if state["group"] else 2, "ne:x:993:\\n" if state["group"] else "")
if name == "id":
    end(0 if words[-1] in state["users"] else 1, " ".join(state["users"].get(words[-1], [])) + "\\n")
if name == "usermod":
    state["users"][words[-1]].append("ne")
    end()
if name == "nitro-cli":
    end(out=json.dumps(state["enclaves"]) + "\\n")
end()
""".replace("ALLOCATOR", ALLOCATOR).replace("NODE", NODE)


class Machine:
    def __init__(self, root, cloister):
        self.root, self.cloister = root, cloister
        (root / "bin").mkdir()
        for name in ("systemctl", "journalctl", "getent", "id", "usermod", "nitro-cli", "groupadd", "chgrp", "modprobe"):
            path = root / "bin" / name
            path.write_text(PROGRAM)
            path.chmod(0o755)
        self.write("dev/nitro_enclaves")
        self.write("sys/class/dmi/id/sys_vendor", "Amazon EC2\n")
        self.write("sys/module/nitro_enclaves/parameters/ne_cpus", "\n")
        self.write("sys/devices/system/cpu/present", "0-7\n")
        self.write("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1\n")
        for cpu in range(8):
            self.write(f"sys/devices/system/cpu/cpu{cpu}/node0/x")
        self.write(f"{NODE}/meminfo", "Node 0 MemTotal:       16384000 kB\nNode 0 MemFree:       15384000 kB\n")
        self.write(f"{NODE}/hugepages/hugepages-2048kB/nr_hugepages", "0\n")
        self.write(f"{NODE}/hugepages/hugepages-2048kB/free_hugepages", "0\n")
        self.write(ALLOCATOR, INSTALLED)
        os.chown(root / "dev/nitro_enclaves", -1, os.getgid())
        self.state = {"load": "loaded", "active": "inactive", "enabled": "disabled", "group": True, "available": 8000, "enclaves": [],
                      "users": {"ec2-user": ["ec2-user", "wheel"]}}
        self.set()

    def write(self, path, text=""):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def set(self, **state):
        self.state |= state
        self.write("state.json", json.dumps(self.state))

    def command(self, *words):
        env = {"PATH": f"{self.root}/bin:/usr/bin:/bin", "HOME": str(self.root), "LC_ALL": "C.UTF-8", "SUDO_USER": "ec2-user"}
        return [self.cloister, "host", words[0], "--root", str(self.root), *map(str, words[1:])], env

    def run(self, *words):
        command, env = self.command(*words)
        return subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS)

    def prepare(self, *words):
        return self.run("prepare", *words)

    def changes(self):
        """What was started that changes something."""
        path = self.root / "called"
        called = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        asking = ("systemctl show", "journalctl", "getent", "id ", "nitro-cli describe-enclaves")
        return [line for line in called if not line.startswith(asking)]

    def allocator(self):
        return (self.root / ALLOCATOR).read_text()


CHANGES = ["chgrp ne /dev/nitro_enclaves", "systemctl enable nitro-enclaves-allocator.service",
           "systemctl restart nitro-enclaves-allocator.service", "usermod -aG ne ec2-user"]
WISH = ["--memory", 3072, "--cpus", 4]


@pytest.fixture
def machine(short_dir, binaries):
    return Machine(short_dir, str(binaries["cloister"]))


def test_it_says_what_it_would_do_and_does_nothing(machine):
    done = machine.prepare(*WISH)
    assert done.returncode == 1 and done.stderr == "cloister: left as it is\nhint: --yes does it without asking\n", done
    assert f"write /{ALLOCATOR}: memory_mib 512 → 3072, processors 2 → 4; the file as it was: /{ALLOCATOR}.before" in done.stdout
    for change in CHANGES:
        assert f". {change}  (" in done.stdout, done.stdout
    assert machine.changes() == [] and machine.allocator() == INSTALLED


def test_it_does_it(machine):
    done = machine.prepare(*WISH, "--yes")
    assert done.returncode == 0 and done.stderr == "cloister: 3072 MiB and 4 processors are set aside for enclaves\n", done
    assert machine.changes() == CHANGES
    assert machine.allocator() == INSTALLED.replace("512", "3072").replace("cpu_count: 2", "cpu_count: 4")
    assert (machine.root / f"{ALLOCATOR}.before").read_text() == INSTALLED


def test_twice_is_once(machine):
    assert machine.prepare(*WISH, "--yes").returncode == 0
    machine.changes()
    done = machine.prepare(*WISH)  # the device's group alone is not changed by a program of ours
    again = [line for line in done.stdout.splitlines() if "chgrp" not in line]
    assert again == [], done
    assert (machine.root / f"{ALLOCATOR}.before").read_text() == INSTALLED


def test_a_person_is_asked(machine):
    command, env = machine.command("prepare", *WISH)
    for answer, changes in (b"n\n", []), (b"y\n", CHANGES):
        ours, theirs = pty.openpty()
        started = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, answer)
        said = b""
        try:
            while b"set aside for" not in said and b"left as it is" not in said:
                said += os.read(ours, 4096)
        except OSError:
            pass  # it ended
        assert started.wait(SECONDS) == (1 if changes == [] else 0), said
        assert b"cloister: do it? [y/N]" in said and machine.changes() == changes, said
        os.close(ours)


def test_memory_in_pieces(machine):
    machine.set(available=2000)
    done = machine.prepare(*WISH, "--yes")
    assert done.returncode == 1, done
    assert done.stderr == ("cloister: the allocator did not set aside what was asked: 0 of 3072 MiB, 0 of 4 processors (Error: Failed to "
                           "configure entire amount of requested memory.)\nhint: reboot: the allocator then runs before memory is in pieces; "
                           "or ask for less with --memory\n")
    # So that a reboot helps, all else is done.
    assert machine.changes() == CHANGES and "memory_mib: 3072" in machine.allocator()


def test_as_much_as_an_image_asks_for(machine):
    from test_image_format import image_of

    image = machine.root / "e.eif"
    image.write_bytes(image_of([(1, b"kernel"), (2, b""), (5, b"{}"), (3, b"init")]))
    plan = json.loads(machine.prepare("--image", image, "--json").stdout)
    assert (plan["memory_mib"], plan["cpus"], plan["done"]) == (1024, 2, False)
    assert [step.get("command", [step.get("file")])[0] for step in plan["steps"]] == ["chgrp", f"/{ALLOCATOR}", "systemctl", "systemctl", "usermod"]


def test_enclaves_that_run_are_not_disturbed(machine):
    enclave = {"EnclaveID": "i-1-enc2", "ProcessID": 77, "EnclaveCID": 16, "NumberOfCPUs": 2, "MemoryMiB": 512, "State": "RUNNING",
               "Flags": "NONE", "CPUIDs": [2, 3]}
    machine.set(enclaves=[enclave])
    done = machine.prepare(*WISH, "--yes")
    assert done.returncode == 1 and "1 enclave(s) run, and nothing can be set aside meanwhile" in done.stderr, done
    assert machine.changes() == [] and machine.allocator() == INSTALLED


def test_users(machine):
    assert "usermod -aG ne ec2-user" in machine.prepare(*WISH).stdout
    done = machine.prepare(*WISH, "--user", "nobody-here", "--yes")
    assert done.returncode == 1 and "there is no user 'nobody-here'" in done.stderr and machine.changes() == []
    for name in ("-G", "--root"):
        assert machine.prepare(*WISH, f"--user={name}", "--yes").returncode != 0 and machine.changes() == []
    assert "usermod" not in machine.prepare(*WISH, "--user", "root").stdout


def test_a_machine_that_is_none(machine):
    (machine.root / "dev/nitro_enclaves").unlink()
    done = machine.prepare(*WISH)
    assert done.returncode == 1 and "this instance was launched without enclaves" in done.stderr
    machine.write("sys/class/dmi/id/sys_vendor", "QEMU\n")
    done = machine.prepare(*WISH, "--yes")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2 and "this machine is no EC2 instance" in done.stderr
    assert machine.changes() == []


def test_show(machine):
    assert machine.prepare(*WISH, "--yes").returncode == 0
    said = machine.run("show").stdout
    assert "processors 8, 4 of them for enclaves; 2 a core" in said and "16000 MiB, 3072 of them for enclaves" in said, said
    facts = json.loads(machine.run("show", "--json").stdout)
    assert facts["cpu_pool"] == [2, 3, 4, 5] and facts["nodes"][0]["set_aside_mib"] == 3072
