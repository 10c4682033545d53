"""RUNBOOK.md as a program: its blocks, a shell for each person in it, and what of a shown output may differ.

    ```sh local owner            commands, typed by this person into their shell; `everyone` is each of them
    ```sh local user exit=125    … of which the last ends with this exit code; all others must succeed
    ```text                      what the block before printed, standard error too; without one it printed nothing
    ```sh emulated user          instead of the `local` block right before, with its output, where an image is booted
    ```sh aws owner              for AWS: read by tests, run by nobody here
    ```sh both owner             for AWS and locally

`…` in an output is anything within its line, and a line of `…` alone any number of lines. Sizes, durations, dates and
times may be others. So may fingerprints, measurements and ids (16 hexadecimal digits and more), but each stays one:
what is shown twice must be the same both times, and where a command names one, the real one is typed.
"""

import os
import re
import selectors
import subprocess
import time
from dataclasses import dataclass, field

BLOCK = re.compile(r"^```(sh|text)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIANTS = ("aws", "local", "both", "emulated")
PEOPLE = ("administrator", "owner", "user")

HEX = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?:[0-9a-f]{4} ){15}[0-9a-f]{4}|(?<![0-9a-f])[0-9a-f]{16,}"
SIZE = r"\d+(?:\.\d+)? (?:B|KiB|MiB|GiB)\b"
DURATION = r"\d+(?:\.\d+)? (?:ms|s)\b"
DATE = r"\d{4}-\d\d-\d\d"
TIME = r"\d\d:\d\d:\d\d(?:\.\d+)?"
VARYING = re.compile(f"(?P<lines>^[ ]*…\\n)|(?P<rest>…)|(?P<hex>{HEX})|(?P<size>{SIZE})|(?P<duration>{DURATION})|(?P<date>{DATE})|(?P<time>{TIME})",
                     re.MULTILINE)
PATTERNS = {"lines": r"(?:[^\n]*\n)*?", "rest": r"[^\n]*?", "size": SIZE, "duration": DURATION, "date": DATE, "time": TIME}


@dataclass
class Step:
    line: int  # of the page
    variant: str
    who: str
    commands: str
    exit: int = 0
    shown: str = ""


def steps(page):
    """All blocks of commands, in order, each with the output that follows it."""
    found = []
    for block in BLOCK.finditer(page):
        words, line = (block[2] or "").split(), page.count("\n", 0, block.start()) + 1
        if block[1] == "text":
            assert found and not found[-1].shown and not words, f"line {line}: an output without its commands"
            found[-1].shown = block[3]
            continue
        if not words:
            continue  # a snippet that nobody is meant to type here
        variant, who = words[:2]
        options = dict(word.split("=") for word in words[2:])
        assert variant in VARIANTS and who in (*PEOPLE, "everyone") and set(options) <= {"exit"}, f"line {line}: {block[0].splitlines()[0]}"
        found.append(Step(line, variant, who, block[3], int(options.get("exit", 0))))
    return found


def of_variant(page, variant):
    """What is typed in this variant: `local` ones, replaced by the `emulated` ones right behind them."""
    chosen = []
    for step in steps(page):
        if step.variant in ("local", "both"):
            chosen.append(step)
        elif step.variant == variant == "emulated":
            assert chosen and chosen[-1].variant == "local" and chosen[-1].who == step.who, f"line {step.line}: nothing to replace"
            chosen[-1] = step
    return chosen


@dataclass
class Names:
    """Which real fingerprint, measurement or id each shown one stands for."""

    real: dict = field(default_factory=dict)

    def bind(self, shown, real):
        shown, real = shown.replace(" ", ""), real.replace(" ", "")
        if self.real.setdefault(shown, real) != real:
            return f"{shown} was {self.real[shown]} before and is {real} now"
        others = [name for name, value in self.real.items() if value == real and name != shown]
        return f"{real} is shown as {others[0]} and as {shown}" if others else None

    def typed(self, commands):
        return re.sub(HEX, lambda name: self.real.get(name[0].replace(" ", ""), name[0]), commands)


def difference(shown, said, names):
    """What of an output is not as shown, or None; learns names."""
    pattern, hexes, at = "", [], 0
    for piece in VARYING.finditer(shown):
        pattern += re.escape(shown[at:piece.start()])
        if piece.lastgroup == "hex":
            hexes.append(piece[0])
            pattern += "(" + re.sub(r"[0-9a-f]+", lambda run: f"[0-9a-f]{{{len(run[0])}}}", piece[0]) + ")"
        else:
            pattern += PATTERNS[piece.lastgroup]
        at = piece.end()
    found = re.fullmatch(pattern + re.escape(shown[at:]), said)
    if not found:
        return "it is not as shown"
    return next((wrong for pair in zip(hexes, found.groups()) if (wrong := names.bind(*pair))), None)


class Shell:
    """A person's shell: blocks run in it one after the other, and see what those before have set."""

    MARK = "@end-of-block"

    def __init__(self, prefix, environment, directory, scratch):
        self.scratch = scratch
        self.process = subprocess.Popen([*prefix, "bash", "--noprofile", "--norc"], env=environment, cwd=directory, bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.type("set -E; trap 'failed=$?' ERR\n")

    def type(self, text):
        self.process.stdin.write(text.encode())

    def run(self, commands, seconds):
        """(what was printed, exit code of the last command, of the last one that failed or 0)"""
        self.scratch.write_text(commands)
        self.type(f"failed=0; . '{self.scratch}' </dev/null; printf '{self.MARK} %d %d\\n' $? $failed\n")
        said, until = b"", time.monotonic() + seconds
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            while self.MARK.encode() not in said or not said.endswith(b"\n"):
                assert waiting.select(max(0, until - time.monotonic())), f"not done after {seconds} s: {said.decode()}"
                piece = os.read(self.process.stdout.fileno(), 65536)
                assert piece, f"the shell has ended: {said.decode()}"
                said += piece
        text, _, codes = said.decode().rpartition(self.MARK)
        return text, *map(int, codes.split())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=20)


def play(step, shells, names, seconds, home):
    """Types a step, in a home that the page calls /root; what went wrong, or None."""
    for shell in shells.values() if step.who == "everyone" else [shells[step.who]]:
        said, code, failed = shell.run(names.typed(step.commands), seconds)
        said = said.replace(str(home), "/root").replace("\r\n", "\n")  # as the page is read
        wrong = difference(step.shown, said, names)
        if code != step.exit or (failed and not step.exit):
            wrong = f"exit code {code if code != step.exit else failed}, not {step.exit}"
        if wrong:
            return f"RUNBOOK.md:{step.line}, {step.who}: {wrong}\n--- typed\n{step.commands}--- shown\n{step.shown}--- said\n{said}"
    return None
