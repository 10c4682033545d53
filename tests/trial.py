"""Packages put into a folder and run: whether they start, or are refused with their reason and nothing remains."""

import re

import lab as laboratory
from forge import member

RUN_SECONDS = 150  # a million of files takes a while
MARK = "started"  # what the application leaves in the output directory
APP = member(b"app.py", b"open('/output/started', 'w').close()\nprint('it runs')\n")


def run(lab, package):
    (lab.folder / "output" / MARK).unlink(missing_ok=True)
    (lab.folder / "encrypted" / "forged.cloister").write_bytes(package)
    return lab.run("user", "run", "forged.cloister", "app.py", seconds=RUN_SECONDS)


def check_it_runs(lab, package):
    done = run(lab, package)
    assert (done.returncode, done.stdout) == (0, "it runs\n"), done.stderr
    assert (lab.folder / "output" / MARK).exists()
    return done


def check_refused(lab, package, reason):
    before = set() if lab.image else lab.enclave_processes()
    done = run(lab, package)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (125, ""), done
    assert lines and re.fullmatch(f"cloister: .*(?:{reason}).*", lines[0]), done.stderr
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), done.stderr
    assert not (lab.folder / "output" / MARK).exists()
    laboratory.wait_for(lambda: not lab.job_processes() if lab.image else lab.enclave_processes() <= before)
