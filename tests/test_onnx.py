"""Neural networks from PyPI's wheels in a job: samples/onnx. Needs PyPI, once; the job itself has no network."""

import json
import shutil
import subprocess

import pytest


PREPARE_SECONDS = 200
RUN_SECONDS = 150
UNREACHABLE = ("No matching distribution found", "Could not find a version", "No module named pip", "no pip for", "Read timed out")


@pytest.fixture(scope="module")
def app(lab, repository):
    target = lab.root / "owner/onnx"
    try:
        done = subprocess.run([repository / "samples/onnx/prepare.sh", target], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PREPARE_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"SKIP: PyPI did not deliver within {PREPARE_SECONDS} s")
    if done.returncode != 0 and any(text in done.stderr for text in UNREACHABLE):
        pytest.skip(f"SKIP: PyPI cannot be reached, or has no wheels for this machine: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return target


def finish(process):
    out, err = process.communicate(timeout=RUN_SECONDS)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.timeout(400)
def test_three_networks_read_a_sign(lab, app, repository):
    key = lab.make_key()
    code, out, err = finish(lab.start("owner", "encrypt", "-d", app, "-k", key, "--name", "onnx", "-o", "onnx.cloister"))
    assert code == 0, err
    lab.ok("user", "signer", "add", "owner", out.split()[1])
    lab.up()
    folder = lab.sync("work")
    shutil.copy(lab.root / "owner/onnx.cloister", folder / "encrypted")
    shutil.copy(repository / "samples/onnx/dataset/sign.jpg", folder / "dataset")
    code, out, err = finish(lab.start("user", "run", "-f", "onnx.cloister", "-s", "read_signs.py", "-a", "-d /dataset/ -o /output/"))
    assert (code, err) == (0, "cloister: onnx 1 ran successfully\n"), (out, err)
    lines = json.loads((folder / "output/sign.json").read_text())
    said = "".join(line["text"] for line in lines).replace(" ", "")
    assert said == "SLOWDOWNOtterscrossingnext400metresHarbourRoad7"
    assert all(line["confidence"] > 0.9 for line in lines)
    assert (folder / "output/sign.found.png").stat().st_size > 10_000
