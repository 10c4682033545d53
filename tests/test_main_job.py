"""The main job from end to end: an owner's application, a user's data, an enclave between them, and what must not work."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import lab as laboratory

OCR_ARGUMENTS = "-m model/eng.traineddata -d /dataset/ -o /output/"


def run_probe(lab, script, *arguments, **options):
    return lab.run("user", "run", "probe.cloister", script, *arguments, **options)


# --- the main job -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)  # of which a translated machine takes most
def test_ocr_reads_the_pages(lab, probe, repository):
    pages = lab.root / "pages"
    subprocess.run([repository / "samples/ocr/prepare", pages], check=True, capture_output=True, timeout=100)
    package, _ = lab.encrypt(repository / "samples/ocr/app", lab.make_key("1.0"), "ocr", "1.0")
    shutil.copy(package, probe / "encrypted")
    for page in pages.iterdir():
        shutil.copy(page, probe / "dataset")
    done = lab.run("user", "run", "-f", "ocr.cloister", "-s", "ml_inference.py", "-a", OCR_ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert "ocr 1.0 ran successfully" in done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:-1]] == sorted(p.name for p in pages.iterdir())
    for page in pages.iterdir():
        assert (probe / "output" / f"{page.stem}.annotated.png").stat().st_size > 1000
        words = json.loads((probe / "output" / f"{page.stem}.json").read_text())
        assert words
    check = subprocess.run(["/usr/bin/python3", "-I", repository / "samples/ocr/check_output.py", probe / "output"],
                           capture_output=True, text=True, timeout=30)
    assert check.returncode == 0, check.stdout + check.stderr
    for name in list((probe / "dataset").iterdir()) + list((probe / "output").iterdir()):
        name.unlink()


def test_the_folder_greets(probe):
    assert "enclave" in (probe / "from_server.txt").read_text()
    assert {"encrypted", "dataset", "output"} <= set(os.listdir(probe))


def test_exit_codes_pass_through(lab, probe):
    for what, number, expected in [("exit", 0, 0), ("exit", 7, 7), ("exit", 255, 255), ("signal", 9, 137), ("signal", 11, 139)]:
        done = run_probe(lab, "exit.py", what, number)
        assert done.returncode == expected, done.stderr
        assert done.stdout == "before the end\n"
        assert "owner-secret-traceback" not in done.stdout + done.stderr


def test_output_arrives_byte_for_byte(lab, probe):
    assert run_probe(lab, "bytes.py", text=False).stdout == bytes(range(256)) + "é".encode()


def test_streams_go_where_the_manifest_says(lab, probe, repository):
    package, _ = lab.encrypt(repository / "tests/quiet", lab.make_key(), "quiet")
    shutil.copy(package, probe / "encrypted")
    done = lab.run("user", "run", "quiet.cloister", "app.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "for the caller\n"


def test_the_samples_flags_and_quoting(lab, probe):
    done = lab.run("user", "run", "-f", "probe.cloister", "-s", "exit.py", "-a", "'exit' \"3\"")
    assert done.returncode == 3, done.stderr
    done = lab.run("user", "run", "-f", "probe.cloister", "-s", "exit.py", "-a", "'never closed")
    assert done.returncode == 2 and "never closed" in done.stderr


def test_output_comes_while_the_job_runs_and_ctrl_c_ends_it(lab, probe):
    (probe / "output" / "started").unlink(missing_ok=True)
    running = lab.start("user", "run", "probe.cloister", "slow.py")
    assert running.stdout.readline() == b"started\n"
    assert len(lab.job_processes()) >= (1 if lab.image else 2)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=20) == 130
    laboratory.wait_for(lambda: not lab.job_processes())
    assert "cancelled" in lab.ok("user", "jobs").splitlines()[0]


def test_several_jobs_at_once(lab, probe):
    results = {}

    def one(number):
        results[number] = lab.run("user", "run", "--output", f"job{number}", "--", "probe.cloister", "exit.py", "exit", number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: done.returncode for number, done in results.items()} == {n: n for n in range(5)}, results
    assert {f"job{n}" for n in range(5)} <= set(os.listdir(probe / "output"))


def test_two_jobs_share_an_output_directory_only_if_both_say_so(lab, probe):
    (probe / "output" / "started").unlink(missing_ok=True)
    share = ["run", "--share-output", "--", "probe.cloister"]
    running = lab.start("user", *share, "slow.py")
    assert running.stdout.readline() == b"started\n"
    refused = run_probe(lab, "exit.py", "exit", 0)
    assert refused.returncode == 125 and "same output directory" in refused.stderr and "--output" in refused.stderr
    shared = lab.run("user", *share, "exit.py", "exit", "0")
    assert shared.returncode == 0, shared.stderr
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=20) == 130


def test_what_a_job_wrote_is_there_when_run_returns(lab, probe):
    target = probe / "output" / "mine"
    target.write_text("what the user wrote, longer than what the job writes")
    assert target.stat().st_size > 10
    assert run_probe(lab, "spy.py").returncode == 0
    assert target.read_text() == "x" and target.stat().st_size == 1


# --- the walls ----------------------------------------------------------------------------------------------------


def test_a_job_finds_nothing_but_its_own(lab, probe):
    done = run_probe(lab, "spy.py")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["output"] == report["socket_in_tmp"] == "succeeded"  # what it may do
    assert report["socket_in_output"] == "EACCES"  # where two jobs could meet and pass descriptors
    assert set(report["processes"]) <= {1, 2}  # itself, and the process that waits for it
    assert "encrypted" not in report["root"] and {"app", "dataset", "output", "usr"} <= set(report["root"])
    for name in ("dataset", "runtime", "root_write"):
        assert report[name] in ("EROFS", "EACCES"), (name, report[name])
    assert report["shadow"] in ("ENOENT", "EACCES")
    assert report["init_memory"] in ("EACCES", "EPERM", "ENOENT")
    assert report["init_environ"] in ("EACCES", "EPERM", "ENOENT", "")
    for name in ("inet", "inet6", "netlink", "packet", "vsock"):
        assert report[name] in ("EAFNOSUPPORT", "EPERM", "EACCES"), (name, report[name])
    for name in ("unshare_user", "unshare_mount", "mount", "chroot", "setuid", "mknod"):
        assert report[name] in ("EPERM", "ENOSYS", "EACCES", "EINVAL"), (name, report[name])
    assert report["uid"] >= laboratory.FIRST_JOB_USER and report["groups"] in ([], [report["uid"]])
    assert set(report["capabilities"]) == {"0" * 16}
    assert report["no_new_privileges"] == "1" and report["seccomp"] == "2"
    assert set(report["environment"]) <= {"HOME", "LANG", "PATH", "TMPDIR", "USER", "LC_CTYPE"}
    assert set(report["descriptors"]) <= {0, 1, 2, 3}  # 3 is the listing's own


def test_nothing_remains_of_a_job(lab, probe):
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(lab.root) in line]
    assert [line.split()[1] for line in mounts] == [str(probe)]  # the user's folder, and nothing of the enclave
    assert run_probe(lab, "spy.py").returncode == 0
    laboratory.wait_for(lambda: not lab.job_processes())


# --- refusals -----------------------------------------------------------------------------------------------------


def test_entry_points_that_are_not_files_of_the_package(lab, probe):
    (probe / "dataset" / "evil.py").write_text("print(open('/app/spy.py').read())")
    rows = [("-c", 126), ("../dataset/evil.py", 126), ("/dataset/evil.py", 126), ("missing.py", 127), (".", 126)]
    for entry, code in rows:
        done = lab.run("user", "run", "-f", "probe.cloister", f"--script={entry}", "-a", "print(1)")
        assert done.returncode == code, (entry, done.stderr)
        assert done.stdout == "" and done.stderr.startswith("cloister: "), (entry, done)


def test_the_host_cannot_unwrap_the_key_itself(lab, probe):
    pytest.importorskip("boto3", reason="python3-boto3 is not installed")
    from botocore.exceptions import ClientError

    path = lab.root / "owner" / "probe.cloister"
    header = json.loads(lab.ok("user", "inspect", "--json", path))
    wrapped = base64.b64decode(lab.ok("user", "inspect", "--wrapped-key", path))
    assert header["encryption_context"]["cloister:name"] == "probe"
    for who in ("user", "owner"):  # not even the owner, without attestation
        client = lab.kms_client(who)
        with pytest.raises(ClientError) as refused:
            client.decrypt(CiphertextBlob=wrapped, KeyId=header["key"], EncryptionContext=header["encryption_context"])
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.processes("test_booted.py has its own: an image whose PCR0 is another")
def test_an_enclave_with_another_measurement_is_denied(lab, probe):
    measurements = lab.measure()
    tampered = lab.root / "tampered"
    tampered.mkdir()
    for program in ("cloister", "cloisterd-sim"):
        shutil.copy(lab.programs / program, tampered)
    with open(tampered / "cloisterd-sim", "ab") as supervisor:
        supervisor.write(b"x")
    lab.up("tampered", program=str(tampered / "cloister"))
    folder = lab.sync("shared2", "tampered")
    shutil.copy(probe / "encrypted" / "probe.cloister", folder / "encrypted")
    done = lab.run("user", "run", "--name", "tampered", "--", "probe.cloister", "exit.py", "exit", "0")
    assert done.returncode == 125 and "AccessDeniedException" in done.stderr
    # And the user who demands the published measurement sends it nothing.
    done = lab.run("user", "run", "--name", "tampered", "--image", measurements, "--", "probe.cloister", "exit.py", "exit", "0")
    assert done.returncode == 125 and "attestation: PCR0" in done.stderr
    lab.down("tampered")


def test_unknown_signers_are_refused(lab, probe, repository):
    package = probe / "encrypted" / "probe.cloister"
    done = lab.run("stranger", "inspect", package)
    assert done.returncode == 1 and "unknown signer" in done.stderr
    done = lab.run("user", "run", "--signer", "0" * 64, "--", "probe.cloister", "exit.py", "exit", "0")
    assert done.returncode == 125 and "unknown signer" in done.stderr
    # Another owner's package, genuine but not pinned: the enclave refuses before KMS is asked.
    signing_key = lab.root / "owner" / "second-key.pem"
    key = lab.make_key()
    path = lab.root / "owner" / "other.cloister"
    lab.ok("owner", "encrypt", "-d", repository / "tests/victims", "-k", key, "--name", "other", "--signing-key", signing_key, "-o", path)
    shutil.copy(path, probe / "encrypted")
    done = lab.run("user", "run", "other.cloister", "exit.py", "exit", "0")
    assert done.returncode == 125 and "unknown signer" in done.stderr


def test_a_revoked_image_is_denied_at_the_next_run(lab, probe, repository):
    key = lab.make_key()
    package, _ = lab.encrypt(repository / "tests/victims", key, "revoked")
    shutil.copy(package, probe / "encrypted")
    assert lab.run("user", "run", "revoked.cloister", "exit.py", "exit", "0").returncode == 0
    lab.ok("owner", "key", "revoke", "-k", key, "--image", lab.measure())
    done = lab.run("user", "run", "revoked.cloister", "exit.py", "exit", "0")
    assert done.returncode == 125 and "AccessDeniedException" in done.stderr


def test_a_release_that_is_not_listed_is_denied(lab, probe, repository):
    key = lab.make_key("2.0")
    for release, code in (("1.0", 125), ("2.0", 0)):
        package, _ = lab.encrypt(repository / "tests/victims", key, "released", release)
        shutil.copy(package, probe / "encrypted")
        done = lab.run("user", "run", "released.cloister", "exit.py", "exit", "0")
        assert done.returncode == code, (release, done.stderr)


def test_damaged_packages_are_refused(lab, probe):
    whole = (probe / "encrypted" / "probe.cloister").read_bytes()
    half = len(whole) // 2
    rows = {"flipped": whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1:], "cut": whole[:-1], "longer": whole + b"\0",
            "empty": b"", "text": b"not a package" * 100, "header": whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]}
    for name, content in rows.items():
        (probe / "encrypted" / "bad.cloister").write_bytes(content)
        done = lab.run("user", "run", "bad.cloister", "exit.py", "exit", "0")
        assert done.returncode == 125 and done.stdout == "", (name, done)


def test_without_a_proxy_a_run_says_so(lab, probe):
    lab.ok("user", "proxy", "--stop")
    done = run_probe(lab, "exit.py", "exit", 0)
    assert done.returncode == 125 and "proxy" in done.stderr and "cloister proxy -s kms" in done.stderr
    lab.ok("user", "proxy", "-s", "kms")
    assert run_probe(lab, "exit.py", "exit", 0).returncode == 0


def test_other_clients_see_neither_folder_nor_jobs(lab, probe):
    run_probe(lab, "exit.py", "exit", 0)
    job = lab.ok("user", "jobs").split()[0]
    assert lab.ok("stranger", "jobs") == ""
    refused = lab.run("stranger", "cancel", job)
    assert refused.returncode == 1 and "no such job" in refused.stderr
    folder = lab.sync("theirs", who="stranger")
    assert os.listdir(folder / "encrypted") == []
    lab.ok("stranger", "unsync", "-d", "theirs")


def test_a_squatter_on_the_socket_gets_no_credentials(lab, probe):
    """Whoever took the enclave's place can make a TLS handshake fail, but is told nothing."""
    record = lab.root / "run" / "default" / "enclave.json"
    before = record.read_text()
    path = lab.root / "squatter.sock"
    heard = bytearray()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        changed = json.loads(before)
        changed["control"] = f"unix://{path}"
        record.write_text(json.dumps(changed))
        running = lab.start("user", "run", "probe.cloister", "exit.py", "exit", "0")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(2)
            try:
                while piece := connection.recv(65536):
                    heard += piece
            except TimeoutError:
                pass
        assert running.wait(timeout=30) == 125
    record.write_text(before)
    assert heard
    env = lab.environment("user")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert env[name].encode() not in heard
