#!/usr/bin/python3
"""Runs clang-tidy, several at a time, over all sources, those named, or those that changed.

    tools/lint.py [--changed [--base COMMIT]] [--seconds N] [--jobs N] [FILE…]

A header stands for the sources beside it that share its name. With --seconds no new file is begun after that time,
the newest go first, tests last, and the closing line says how many were left. Exit code 1 if clang-tidy found something.
"""

import argparse
import concurrent.futures
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY = "clang-tidy-19"
FOLDERS = ("src/", "apps/")
FILE_TIMEOUT = 300  # seconds for one source


def git(*arguments):
    command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return run.stdout.splitlines() if run.returncode == 0 else None


def base_commit():
    """Where this branch left main, or, on main itself, the commit before."""
    head = git("rev-parse", "HEAD")
    for main in ("origin/HEAD", "origin/main", "main"):
        base = git("merge-base", main, "HEAD")
        if base and base != head:
            return base[0]
    parent = git("rev-parse", "--verify", "HEAD~1")
    return parent[0] if parent else None


def changed_files(base):
    """Since base, with what is not committed. None without git."""
    if git("rev-parse", "HEAD") is None:
        return None
    base = base or base_commit()
    changed = git("diff", "--name-only", "--diff-filter=d", base) if base else git("ls-files")
    if changed is None:
        return None
    return set(changed) | set(git("ls-files", "--others", "--exclude-standard") or [])


def known_sources(build):
    """What the compilation database can compile, as paths relative to the root."""
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    sources = set()
    for entry in entries:
        path = Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(ROOT):
            sources.add(path.relative_to(ROOT).as_posix())
    return {source for source in sources if source.startswith(FOLDERS)}


def sources_for(files, known):
    """The sources to check for these files: themselves, and for a header those that share its stem."""
    wanted = set()
    for file in files:
        path = Path(file)
        if path.suffix == ".h":
            wanted |= {s for s in known if Path(s).parent == path.parent and
                       Path(s).stem.removesuffix("_test") == path.stem}
        elif file in known:
            wanted.add(file)
    return wanted


def check(source, build):
    command = [TIDY, "-p", str(build), "--quiet", "--use-color=false", source]
    if source.endswith("_test.cc"):
        command.insert(1, "--checks=-clang-analyzer-*")  # four fifths of the time, and tests run under sanitizers
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=FILE_TIMEOUT)
    except subprocess.TimeoutExpired:
        return source, False, f"{source}: clang-tidy took more than {FILE_TIMEOUT} s"
    return source, run.returncode == 0, run.stdout.strip()


def check_all(sources, build, jobs, seconds):
    """(clean, with findings, left out for want of time)"""
    stop = time.monotonic() + seconds if seconds else None
    waiting, clean, bad = list(sources), 0, 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = set()
        while running or waiting:
            while waiting and len(running) < jobs and not (stop and time.monotonic() > stop):
                running.add(pool.submit(check, waiting.pop(0), build))
            if not running:
                break
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                _, good, output = future.result()
                clean, bad = clean + good, bad + (not good)
                if output:
                    print(output, flush=True)
    return clean, bad, len(waiting)


def main():
    parser = argparse.ArgumentParser(description="Runs clang-tidy.")
    parser.add_argument("--changed", action="store_true", help="only what changed since --base")
    parser.add_argument("--base", default="")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "dev")
    parser.add_argument("--seconds", type=float, default=0, help="0: no limit")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()

    known = known_sources(options.build)
    wanted = known
    if options.files:
        wanted = sources_for([Path(f).resolve().relative_to(ROOT).as_posix() for f in options.files], known)
    elif options.changed:
        changed = changed_files(options.base)
        if changed is None:
            print("tidy: not a git checkout, so all sources count as changed")
        else:
            wanted = sources_for(changed, known)
    order = sorted(wanted, key=lambda s: (s.endswith("_test.cc"), -(ROOT / s).stat().st_mtime, s))
    clean, bad, left = check_all(order, options.build, options.jobs, options.seconds)
    rest = f", {left} NOT CHECKED for want of time" if left else ""
    print(f"tidy: {clean + bad} of {len(wanted)} sources checked, {bad} with errors{rest}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
