"""Programs of every kind in a job: samples/runtimes, each encrypted as it stands and run on the same four numbers."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest


ROWS = [  # directory, entry point, what it needs on the machine, its first word
    ("native", "mean-dynamic", None, "native"),
    ("native", "mean-static", None, "native"),
    ("shell", "mean.sh", None, "shell"),
    ("python", "mean.py", None, "python"),
    ("venv", "mean", None, "venv"),
    ("library", "mean-rpath", None, "library"),
    ("library", "mean-environment", None, "library"),
    ("r", "mean.R", "/usr/bin/Rscript", "r"),
    ("node", "mean.js", "/usr/bin/node", "node"),
]


@pytest.fixture(scope="module")
def apps(lab, repository):
    if shutil.which("cc") is None:
        pytest.skip("SKIP: no C compiler (cc)")
    target = lab.root / "apps"
    done = subprocess.run([repository / "samples/runtimes/prepare", target], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def key(lab):
    return lab.make_key()


@pytest.fixture(scope="module")
def folder(lab):
    lab.up()
    made = lab.sync("work")
    (made / "dataset/a.txt").write_text("1.5 2\n")
    (made / "dataset/b.txt").write_text("3\n4.5\n")
    return made


def encrypt(lab, folder, directory, key, name):
    package, signer = lab.encrypt(directory, key, name)
    lab.run("user", "signer", "add", "owner", signer)
    shutil.copy(package, folder / "encrypted")
    return package


def environment_of(lab, folder, key, text):
    """The variables of a job whose manifest has this text."""
    app = lab.root / "environment"
    shutil.rmtree(app, ignore_errors=True)
    app.mkdir()
    (app / "cloister.yaml").write_text(text)
    (app / "env.sh").write_text("exec env\n")
    encrypt(lab, folder, app, key, "environment")
    done = lab.run("user", "run", "-f", "environment.cloister", "-s", "env.sh")
    assert done.returncode == 0, done.stderr
    out = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return {name: value for name, value in out.items() if name not in ("PWD", "SHLVL", "OLDPWD", "_")}  # the shell's


@pytest.mark.parametrize("directory, entry, needs, word", ROWS, ids=[row[1] for row in ROWS])
def test_a_runtime(lab, apps, key, folder, directory, entry, needs, word):
    if needs and not os.path.exists(needs):
        pytest.skip(f"SKIP: no {needs}")
    encrypt(lab, folder, apps / directory, key, directory)
    (folder / "output/mean.txt").unlink(missing_ok=True)
    done = lab.run("user", "run", "-f", f"{directory}.cloister", "-s", entry)
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[0] == f"{word}: 4 numbers, mean 2.75"
    assert (folder / "output/mean.txt").read_text() == "2.75\n"
    if directory == "venv":
        assert done.stdout.splitlines()[1].split(", ")[0].strip() == "/app/venv/bin/python3"
        assert "/app/venv/lib/" in done.stdout


def test_a_library_is_found_only_where_the_manifest_says(lab, apps, key, folder):
    """Without the variable the loader does not find it: the sample above does not pass by chance."""
    bare = lab.root / "bare"
    shutil.copytree(apps / "library", bare)
    (bare / "cloister.yaml").unlink()
    encrypt(lab, folder, bare, key, "bare")
    assert lab.run("user", "run", "-f", "bare.cloister", "-s", "mean-environment").returncode == 127
    assert lab.run("user", "run", "-f", "bare.cloister", "-s", "mean-rpath").returncode == 0


BASE = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": "/tmp", "USER": "job"}


def test_the_environment_is_cloisters_and_the_owners_and_nobody_elses(lab, key, folder):
    assert environment_of(lab, folder, key, "stdout: caller\n") == BASE
    said = environment_of(lab, folder, key, "environment:\n  PATH: /app/bin\n  OMP_NUM_THREADS: 2\n  GREETING: 'a = b, c'\n  EMPTY: ''\n")
    assert said == BASE | {"PATH": f"/app/bin:{BASE['PATH']}", "OMP_NUM_THREADS": "2", "GREETING": "a = b, c", "EMPTY": ""}


def test_variables_do_not_come_from_the_host(lab, key, folder):
    """The user of `run` has AWS credentials and more in the environment; none of it is the job's."""
    host = lab.environment("user")
    assert "AWS_SECRET_ACCESS_KEY" in host
    assert not set(environment_of(lab, folder, key, "stdout: caller\n")) & {name for name in host if name.startswith(("AWS_", "CLOISTER_", "LC_"))}


@pytest.mark.processes("a machine does not show those inside it")
def test_the_enclave_itself_has_no_environment(lab, folder):
    """Whoever types `up` may have credentials; the supervisor's processes, forks of this one, must not."""
    pid = json.loads((lab.root / "run/default/enclave.json").read_text())["pid"]
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_the_environment_is_secret_until_it_runs(lab, key, folder):
    environment_of(lab, folder, key, "environment: {OWNERS_TOKEN: owner-secret-token}\n")
    package = lab.root / "owner" / "environment.cloister"
    assert "OWNERS_TOKEN" not in lab.ok("user", "inspect", "--json", package)
    assert b"OWNERS_TOKEN" not in package.read_bytes() and b"owner-secret-token" not in package.read_bytes()


@pytest.mark.parametrize("text, reason", [
    ("environment: {HOME: /app}", "Cloister itself sets HOME"),
    ("environment: {USER: root}", "Cloister itself sets USER"),
    ("environment: {1ST: x}", "'1ST' is not a variable's name"),
    ("environment: {A-B: x}", "'A-B' is not a variable's name"),
    ("environment: {PATH: bin}", "PATH: 'bin' does not begin with /"),
    ("environment: {A: 1, A: 2}", "'A' stands there twice"),
    ("environment: [A=1]", "environment: not a mapping"),
    (f"environment: {{A: {'x' * 4097}}}", "A is longer than 4096 bytes"),
    ("environment: {" + ", ".join(f"V{n}: x" for n in range(65)) + "}", "more than 64 variables"),
])
def test_environments_that_are_refused(lab, key, text, reason):
    app = lab.root / "refused"
    app.mkdir(exist_ok=True)
    (app / "cloister.yaml").write_text(text + "\n")
    done = lab.run("owner", "encrypt", "-d", app, "-k", key, "-o", lab.root / "owner/refused.cloister")
    assert done.returncode == 1 and reason in done.stderr, done.stderr
    assert not (lab.root / "owner/refused.cloister").exists()
