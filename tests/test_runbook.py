"""RUNBOOK.md, as it is typed on one machine, prints what it shows; and what counts as the same. Its blocks for AWS: test_runbook_aws.py."""

import os
import socket
import subprocess
import sys
import time

import pytest

import lab as laboratory
import runbook
from processes import leftovers

# Brings the loopback of an empty network up (netdevice(7): SIOCSIFFLAGS; IFF_UP, IFF_RUNNING), says so, and keeps it.
HOLD_NETWORK = """import fcntl, socket, struct, time
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 0x41))
print(flush=True)
time.sleep(600)
"""
STEP_SECONDS, BOOTED_STEP_SECONDS, LEAVE_SECONDS = 50, 240, 10
PAGE = laboratory.ROOT / "RUNBOOK.md"


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text()


class Alone:
    """A network with nothing but its own loopback: the port that the page names is free there, and nobody else is."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", sys.executable, "-c", HOLD_NETWORK], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"\n"
        self.prefix = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


class People:
    """A home, and a shell for each person."""

    def __init__(self, binaries, home, prefix):
        self.root, self.programs = home, binaries["cloister"].parent
        self.environment = {"PATH": f"{self.programs}:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(home), "LC_ALL": "C.UTF-8",
                            "AWS_EC2_METADATA_DISABLED": "true", "CLOISTER_QEMU": str(laboratory.QEMU), "XDG_CACHE_HOME": str(home / ".cache")}
        kernels = laboratory.ROOT / ".cache/kernel"
        if kernels.exists():  # else it is compiled, for ten minutes
            (home / ".cache/cloister").mkdir(parents=True)
            (home / ".cache/cloister/kernel").symlink_to(kernels)
        self.shells = {who: runbook.Shell(prefix, self.environment, laboratory.ROOT, home / f".block-{who}") for who in runbook.PEOPLE}

    def play(self, steps, seconds):
        names = runbook.Names()
        for step in steps:
            wrong = runbook.play(step, self.shells, names, seconds, self.root)
            if wrong:
                pytest.fail(wrong, pytrace=False)

    def close(self):
        """Ends what a failure has left."""
        left = self.root / "runbook"
        environment = self.environment | {"CLOISTER_RUN": str(left / "run")}
        for words in (["unsync", "-d", left / "user/work"], ["down", "--force"], ["kms", "stop", "--dir", left / "kms"]) if left.exists() else ():
            subprocess.run([self.programs / "cloister", *words], env=environment, capture_output=True, timeout=60)
        for shell in self.shells.values():
            shell.close()


@pytest.fixture
def network():
    made = Alone()
    yield made
    made.close()


def play(variant, page, binaries, home, prefix, seconds):
    people = People(binaries, home, prefix)
    try:
        people.play(runbook.of_variant(page, variant), seconds)
    finally:
        people.close()
    assert sorted(path.name for path in home.iterdir() if not path.name.startswith(".")) == []
    until = time.monotonic() + LEAVE_SECONDS
    while left := leftovers(people):
        assert time.monotonic() < until, left
        time.sleep(0.1)


@pytest.mark.skipif(laboratory.why_not() is not None, reason=str(laboratory.why_not()))
@pytest.mark.timeout(150)
def test_the_local_way(page, binaries, short_dir, network):
    play("local", page, binaries, short_dir, network.prefix, STEP_SECONDS)


@pytest.mark.skipif(laboratory.why_not_booted() is not None, reason=str(laboratory.why_not_booted()))
@pytest.mark.timeout(600)
def test_the_emulated_way(page, binaries, short_dir):
    """Not alone: building the image asks Debian for packages. So the port has to be one that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8480))
        except OSError:
            pytest.skip("port 8480 is taken on this machine")
    play("emulated", page, binaries, short_dir, [], BOOTED_STEP_SECONDS)


def test_every_person_has_their_steps_and_revoking_shows_its_denial(page):
    for variant in ("local", "emulated"):
        steps = runbook.of_variant(page, variant)
        assert {step.who for step in steps} == {*runbook.PEOPLE, "everyone"} and len(steps) > 20
        denied = [step for step in steps if step.exit]
        assert [step.exit for step in denied] == [125] and "AccessDeniedException" in denied[0].shown
        before = steps[:steps.index(denied[0])]
        assert "key revoke" in before[-1].commands and any(step.commands == denied[0].commands.splitlines()[0] + "\n" or
                                                           denied[0].commands.splitlines()[0] in step.commands for step in before[:-1])
    assert {step.who for step in runbook.steps(page) if step.variant == "aws"} == {*runbook.PEOPLE, "everyone"}


# --- the rule of comparison ---------------------------------------------------------------------------------------

A, B, C = "a1" * 16, "b2" * 16, "c3" * 16
UUID, OTHER_UUID = "f9edd88c-0021-4fab-be2c-ec5eea6dab3d", "00000000-1111-2222-3333-444444444444"


@pytest.mark.parametrize("shown, said", [
    ("one\n", "one\n"),
    ("", ""),
    ("one …\n", "one and two\n"),
    ("a … c … e\n", "a b c d e\n"),
    ("one\n…\nfour\n", "one\ntwo\nthree\nfour\n"),
    ("one\n…\nfour\n", "one\nfour\n"),
    ("took 12 s, 3.5 MiB\n", "took 0.8 s, 17 B\n"),
    ("2026-11-24T03:44:32.061Z x\n", "2027-01-02T23:59:59.000Z x\n"),
    (f"{A} and {B}\n{A}\n", f"{B} and {C}\n{B}\n"),
    (f"key/{UUID}\n", f"key/{OTHER_UUID}\n"),
    (f"signer {'ab12' * 16}\n  {' '.join(['ab12'] * 16)}\n", f"signer {'cd34' * 16}\n  {' '.join(['cd34'] * 16)}\n"),
])
def test_what_may_differ(shown, said):
    assert runbook.difference(shown, said, runbook.Names()) is None


@pytest.mark.parametrize("shown, said", [
    ("one\n", "two\n"),
    ("one\n", ""),
    ("", "one\n"),
    ("one\n", "one\ntwo\n"),
    ("one …\n", "one\ntwo\n"),
    ("one\n…\nfour\n", "one\ntwo\nfive\n"),
    ("exit code 125\n", "exit code 1\n"),
    ("12 fruit sorted\n", "13 fruit sorted\n"),
    ("took 12 s\n", "took 12 MiB\n"),
    (f"{A} and {A}\n", f"{B} and {C}\n"),
    (f"{A} and {B}\n", f"{C} and {C}\n"),
    (f"{A}\n", f"{A}00\n"),
    ("0123456789abcdef01\n", "0123456789abcdeg01\n"),
    (f"signer {'ab12' * 16}\n  {' '.join(['ab12'] * 16)}\n", f"signer {'cd34' * 16}\n  {' '.join(['ef56'] * 16)}\n"),
])
def test_what_may_not_differ(shown, said):
    assert runbook.difference(shown, said, runbook.Names()) is not None


def block(info, text):
    return f"```{info}\n{text}```\n"


def test_a_shell_keeps_what_was_set_and_types_the_real_names(tmp_path):
    page = (block("sh local owner", "x=3\n") + block("sh local owner", f"echo $x {C} >&2\n") + block("text", f"3 {A}\n") +
            block("sh local user", f"echo \"${{x:-none}}\" {A}\n") + block("text", f"none {A}\n"))
    shells = {who: runbook.Shell([], dict(os.environ), tmp_path, tmp_path / who) for who in runbook.PEOPLE}
    names = runbook.Names()
    assert [runbook.play(step, shells, names, 10, tmp_path) for step in runbook.of_variant(page, "local")] == [None, None, None]
    assert names.real == {A: C}
    for shell in shells.values():
        shell.close()


@pytest.mark.parametrize("info, commands, shown, said", [
    ("sh local user", "echo one\n", "two\n", "not as shown"),
    ("sh local user", "echo one\n", "", "not as shown"),
    ("sh local user", "true\n", "one\n", "not as shown"),
    ("sh local user", "false\ntrue\n", "", "exit code 1, not 0"),
    ("sh local user", "(exit 7)\n", "", "exit code 7, not 0"),
    ("sh local user exit=125", "true\n", "", "exit code 0, not 125"),
    ("sh local user exit=125", "(exit 1)\n", "", "exit code 1, not 125"),
])
def test_a_step_that_goes_otherwise_is_told(tmp_path, info, commands, shown, said):
    steps = runbook.of_variant(block(info, commands) + (block("text", shown) if shown else ""), "local")
    shells = {"user": runbook.Shell([], dict(os.environ), tmp_path, tmp_path / "block")}
    told = runbook.play(steps[0], shells, runbook.Names(), 10, tmp_path)
    assert said in told and "RUNBOOK.md:1, user" in told
    shells["user"].close()


@pytest.mark.parametrize("page", ["```text\nx\n```\n", "```sh local nobody\nx\n```\n", "```sh remote user\nx\n```\n", "```sh local user quit=1\nx\n```\n"])
def test_a_block_that_is_none_is_refused(page):
    with pytest.raises(AssertionError):
        runbook.steps(page)


def test_the_emulated_way_replaces_only_what_is_right_before_it():
    page = block("sh local user", "one\n") + block("text", "1\n") + block("sh emulated user", "two\n") + block("sh both user", "three\n")
    assert [step.commands for step in runbook.of_variant(page, "local")] == ["one\n", "three\n"]
    assert [(step.commands, step.shown) for step in runbook.of_variant(page, "emulated")] == [("two\n", ""), ("three\n", "")]
    with pytest.raises(AssertionError):
        runbook.of_variant(block("sh local owner", "one\n") + block("sh emulated user", "two\n"), "emulated")
