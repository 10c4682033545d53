"""What flows back needs consent: diagnostics for the owner, directories to write to, and jobs whose caller is gone."""

import json
import os
import signal

import pytest

import lab as laboratory

SECRET = "the owner's secret: fail.py"
GRACE = 5  # seconds, the least that a caller may ask for


@pytest.fixture(scope="module")
def folder(lab, repository):
    """A user's folder with a package that makes diagnostic bundles, and the victims."""
    shared = lab.share_victims(repository)
    lab.publish(lab.talkative(repository), shared, "talkative")
    return shared


def run_talkative(lab, *options):
    return lab.run("user", "run", *options, "--", "talkative.cloister", "fail.py")


def test_writing_beyond_output_needs_consent(lab, folder):
    for consent in ([], ["--allow-write", "dataset"]):
        refused = run_talkative(lab, *consent)
        assert refused.returncode == 125 and refused.stdout == "", refused
        assert "wants to write to your 'model'" in refused.stderr and "--allow-write model" in refused.stderr
        assert not (folder / "model" / "learnt").exists()
    assert run_talkative(lab, "--allow-write", "model").returncode == 1
    assert (folder / "model" / "learnt").read_text() == "x"


def test_a_traceback_reaches_its_owner_alone(lab, folder):
    bundle = lab.root / "user" / "failure.cldiag"
    done = run_talkative(lab, "--allow-write", "model", "--diagnostics", bundle)
    assert done.returncode == 1 and done.stdout == "working\n"
    assert SECRET not in done.stderr and str(bundle) in done.stderr
    sealed = bundle.read_bytes()
    assert SECRET.encode() not in sealed and b"talkative" not in sealed and len(sealed) <= 128 * 1024
    assert bundle.stat().st_mode & 0o777 == 0o600
    opened = json.loads(lab.ok("owner", "diagnose", "--json", bundle))
    assert opened["name"] == "talkative" and opened["entry"] == "fail.py" and opened["end"] == "exited 1"
    assert SECRET in opened["stderr"] and len(opened["stderr"]) == 64 * 1024 and opened["dropped"] > 0
    assert SECRET in lab.ok("owner", "diagnose", bundle)


def test_nobody_else_opens_a_bundle(lab, folder):
    bundle = lab.root / "user" / "other.cldiag"
    run_talkative(lab, "--allow-write", "model", "--diagnostics", bundle)
    assert lab.run("user", "diagnose", bundle).returncode == 1  # has no key
    lab.ok("stranger", "diagnose", "--public-key")
    refused = lab.run("stranger", "diagnose", bundle)
    assert refused.returncode == 1 and "not for this key, or changed" in refused.stderr and refused.stdout == ""
    changed = bytearray(bundle.read_bytes())
    changed[-1] ^= 1
    bundle.write_bytes(changed)
    assert lab.run("owner", "diagnose", bundle).returncode == 1


def test_without_being_asked_nothing_is_made(lab, folder):
    done = run_talkative(lab, "--allow-write", "model")
    assert done.returncode == 1 and SECRET not in done.stdout + done.stderr and "diagnostics" not in done.stderr
    refused = lab.run("user", "run", "--diagnostics", "x.cldiag", "--", "probe.cloister", "exit.py", "exit", "0")
    assert refused.returncode == 125 and "makes no diagnostic bundles" in refused.stderr
    assert not (lab.root / "user" / "x.cldiag").exists()


@pytest.mark.timeout(60)
def test_a_job_whose_caller_died_ends_after_its_grace(lab, folder):
    running = lab.start("user", "run", "--grace", GRACE, "--", "probe.cloister", "slow.py")
    assert running.stdout.readline() == b"started\n"
    (job,) = [job for job in json.loads(lab.ok("user", "jobs", "--json"))["jobs"] if job["state"] == "running"]
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    laboratory.wait_for(lambda: not lab.job_processes(), seconds=GRACE + 20)
    (job,) = [j for j in json.loads(lab.ok("user", "jobs", "--json"))["jobs"] if j["id"] == job["id"]]
    assert job["state"] == "cancelled" and "nobody followed" in job["error"]["message"], job


@pytest.mark.timeout(60)
def test_a_followed_job_outlives_its_grace(lab, folder):
    running = lab.start("user", "run", "--grace", GRACE, "--", "probe.cloister", "slow.py")
    assert running.stdout.readline() == b"started\n"
    with pytest.raises(laboratory.subprocess.TimeoutExpired):
        running.wait(timeout=GRACE + 3)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=20) == 130
