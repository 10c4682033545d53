"""A real enclave image, built and booted: what holds for enclaves of processes holds in a machine under QEMU.

The tests named in OF_PROCESSES are those of the process backend, run as they stand."""

import json
import shutil
import subprocess

import pytest

import lab as laboratory
import test_folder
import test_main_job
import test_victims
from test_folder import tree  # noqa: F401  fixtures of theirs
from test_victims import entries, planted  # noqa: F401

pytestmark = [pytest.mark.skipif(laboratory.why_not_booted() is not None, reason=str(laboratory.why_not_booted())),
              pytest.mark.timeout(150)]

OF_PROCESSES = {
    test_main_job: ["test_ocr_reads_the_pages", "test_the_folder_greets", "test_exit_codes_pass_through",
                    "test_output_arrives_byte_for_byte", "test_several_jobs_at_once", "test_a_job_finds_nothing_but_its_own",
                    "test_the_host_cannot_unwrap_the_key_itself", "test_unknown_signers_are_refused",
                    "test_a_release_that_is_not_listed_is_denied", "test_damaged_packages_are_refused",
                    "test_without_a_proxy_a_run_says_so", "test_other_clients_see_neither_folder_nor_jobs"],
    test_folder: ["test_cp_a_and_back", "test_rsync_a", "test_ls_mv_mkdir_touch_truncate_dd", "test_sqlite", "test_git_clone",
                  "test_setuid_and_devices_do_not_exist_there"],
    test_victims: ["test_a_traceback_stays_from_the_user", "test_other_processes_are_out_of_reach", "test_sockets_of_unix_only",
                   "test_nothing_outlives_a_job", "test_a_job_that_ignores_every_signal_is_cancelled",
                   "test_a_job_that_ignores_every_signal_is_ended_when_its_time_is_up", "test_a_job_without_descriptors_goes_on",
                   "test_what_a_job_plants_is_harmless_in_the_folder", "test_links_that_stay_in_the_folder_are_served",
                   "test_the_dataset_cannot_be_changed", "test_what_is_no_entry_point_is_refused",
                   "test_arguments_reach_a_script_as_data", "test_a_package_cannot_link_to_an_interpreter"],
}


@pytest.fixture(scope="module")
def lab(lab, repository):
    """An enclave that is a machine with an image of its own, a folder, and the victims as the packages of test_victims."""
    lab.build_image(repository / "tests/booted.yaml", laboratory.BUILD_SECONDS)
    lab.share_victims(repository)
    tight = lab.root / "tight"
    shutil.copytree(repository / "tests/victims", tight)
    (tight / "cloister.yaml").write_text(test_victims.TIGHT)
    lab.publish(tight, lab.folder, "tight")
    return lab


@pytest.fixture(scope="module")
def probe(lab):
    return lab.folder


@pytest.fixture
def folder(lab):
    return lab.folder


def measured(lab):
    return json.loads(lab.measure().read_text())["Measurements"]


@pytest.mark.timeout(laboratory.BUILD_SECONDS + laboratory.UP_SECONDS)
def test_the_guest_attests_to_what_was_measured(lab):
    report = json.loads(lab.run("user", "verify", "--image", lab.measure(), "--json").stdout)
    said = {int(index): value for index, value in report["pcrs"].items()}
    for index in range(3):
        assert said[index] == measured(lab)[f"PCR{index}"]
    # What boot does not measure is locked, so that nobody inside gives it a meaning later.
    assert set(range(16, 32)) <= set(said)


def test_another_images_measurements_are_refused(lab):
    other = json.loads(lab.measure().read_text())
    other["Measurements"]["PCR0"] = "11" * 48
    path = lab.root / "other.json"
    path.write_text(json.dumps(other))
    done = lab.run("user", "run", "--image", path, "probe.cloister", "exit.py", "exit", 0)
    assert done.returncode == 125 and "PCR0" in done.stderr, done


def test_every_wall_of_the_image_stands(lab):
    assert lab.run("user", "run", "probe.cloister", "exit.py", "exit", 0).returncode == 0
    assert "all of them" in lab.ok("user", "status")


def test_status_and_logs_say_what_it_is(lab):
    enclave = json.loads(lab.ok("user", "status", "--json"))["enclaves"][0]
    assert (enclave["backend"], enclave["mode"], enclave["confidential"]) == ("qemu", "emulated", False)
    assert "NOT confidential" in lab.ok("user", "status")
    assert "tcg" in lab.ok("user", "logs")
    done = lab.run("user", "console")
    assert done.returncode == 1 and "--debug" in done.stderr


def test_a_debug_enclave_shows_its_console_and_runs_nothing(lab):
    lab.ok("user", "up", "--name", "debug", "--backend", "qemu", "--accelerator", "tcg", "--image", lab.image, "--debug",
           seconds=laboratory.UP_SECONDS)
    lab.enclaves.append("debug")
    laboratory.wait_for(lambda: "ready: emulated mode" in lab.ok("user", "console", "--name", "debug"))
    done = lab.run("user", "run", "--name", "debug", "probe.cloister", "exit.py", "exit", 0)
    assert done.returncode == 125 and "debug mode: its console is open" in done.stderr, done
    assert lab.run("user", "sync", "-d", "never", "--name", "debug").returncode == 1
    lab.down("debug")
    assert not (lab.root / "run/debug").exists()


def test_what_cannot_boot_is_refused(lab):
    def up(*words):
        done = lab.run("user", "up", "--name", "no", "--backend", "qemu", *words, seconds=laboratory.UP_SECONDS)
        assert done.returncode == 1 and not (lab.root / "run/no/enclave.json").exists()
        return done.stderr

    damaged = lab.root / "damaged.eif"
    damaged.write_bytes(lab.image.read_bytes()[:-1])
    assert "damaged.eif" in up("--image", damaged)
    assert "--image" in up()
    assert "--accelerator" in up("--image", lab.image, "--accelerator", "magic")
    assert "--group" in up("--image", lab.image, "--group", "root")


# Linux goes on when memory ends while it unpacks an image, and how much memory there is the parent says. `up` refuses less than an image
# needs; a hostile parent does not, and gives its machines less than it was asked for.
LESS = """#!/bin/sh
for word do
  shift
  case "$word" in 1024M) word=LESSM ;; *,size=1024M,*) word="${word%%1024M*}LESSM${word#*1024M}" ;; esac
  set -- "$@" "$word"
done
exec REAL "$@"
"""


@pytest.fixture
def mean_parent(lab, monkeypatch):
    """mean_parent(mib): from now on machines of 1024 MiB have so much."""
    real, folder = laboratory.QEMU, lab.root / "mean"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/vhost-device-vsock").symlink_to(real / "bin/vhost-device-vsock")

    def less(mib):
        path = folder / "bin/qemu-system-x86_64"
        path.write_text(LESS.replace("LESS", str(mib)).replace("REAL", str(real / "bin/qemu-system-x86_64")))
        path.chmod(0o755)
        monkeypatch.setattr(laboratory, "QEMU", folder)

    return less


def refuse_to_boot(lab, image):
    """The console of a machine of 1024 MiB that ends while it boots."""
    up = ["up", "--name", "little", "--backend", "qemu", "--accelerator", "tcg", "--image", image, "--memory", 1024]
    done = lab.run("user", *up, seconds=laboratory.UP_SECONDS)
    if done.returncode == 0:
        lab.enclaves.append("little")  # the test fails; the machine ends with the others
    assert done.returncode == 1 and "the machine has ended" in done.stderr, done
    # Why is on the console, which only a debug machine has; it is left for whoever looks.
    lab.run("user", *up, "--debug", seconds=laboratory.UP_SECONDS)
    return (lab.root / "run/little/console.log").read_text(errors="replace")


def test_an_image_that_is_not_whole_does_not_come_up(lab, mean_parent):
    done = lab.run("user", "up", "--name", "little", "--backend", "qemu", "--image", lab.image, "--memory", 320)
    assert done.returncode == 1 and "does not come up with less than" in done.stderr and "hint: --memory" in done.stderr, done
    mean_parent(320)
    console = refuse_to_boot(lab, lab.image)
    assert "the image is not whole" in console, console[-2000:]


# Linux gives a file its length before its content: the one at which memory ended is as long as it should be.
def test_a_last_file_that_is_long_enough_but_cut_short_is_seen(lab, mean_parent):
    folder = lab.root / "large"
    folder.mkdir()
    (folder / "last").write_bytes(b"not zeros\n" * (30 << 20))
    (lab.root / "large.yaml").write_text(f"name: large\nversion: '1'\nmode: emulated\nbase: {{directory: {folder}}}\n")
    image = lab.root / "large.eif"
    lab.ok("owner", "image", "build", lab.root / "large.yaml", "-o", image, "--kms-ca", lab.environment("owner")["AWS_CA_BUNDLE"],
           "--kernel", laboratory.KERNEL)
    mean_parent(320)
    console = refuse_to_boot(lab, image)
    assert "write error" in console and "the image is not whole" in console, console[-2000:]


# The end of the machine is the end of the enclave: by the host's hand, and by the guest's.
def test_a_machine_that_ends_is_a_dead_enclave(lab):
    lab.up("short")
    first = json.loads((lab.root / "run/short/enclave.json").read_text())["pid"]
    qemu = subprocess.run(["pgrep", "-P", str(first), "-f", "qemu-system"], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run(["kill", "-9", *qemu], check=True)
    laboratory.wait_for(lambda: "DEAD" in lab.ok("user", "status"))
    assert "the machine has ended" in lab.ok("user", "logs", "--name", "short")
    lab.down("short")


# --- a new version of the image, without a gap ---------------------------------------------------------------------

NATIVE = """
#include <stdio.h>
#include <stdlib.h>
int main(void) { puts(getenv("VERSION")); return 0; }
"""


@pytest.fixture(scope="module")
def versions(lab):
    """Recipes of two images without a runtime, which differ in a variable; a key; a program under it for either."""
    work = lab.root / "versions"
    (work / "app").mkdir(parents=True)
    (work / "app.c").write_text(NATIVE)
    subprocess.run(["cc", "-static", "-Os", "-o", work / "app/here", work / "app.c"], check=True)
    for number in ("1", "2"):
        (work / f"{number}.yaml").write_text(f"name: small\nversion: '{number}'\nmode: emulated\nbase: none\nmemory_mib: 512\n"
                                             f"environment: {{VERSION: '{number}'}}\n")
    key = lab.ok("owner", "key", "create").strip()
    signer = lab.publish(work / "app", lab.folder, "here", key)
    return work, key, signer


def build(lab, work, number, *words):
    authority = lab.environment("owner")["AWS_CA_BUNDLE"]
    lab.ok("owner", "image", "build", work / f"{number}.yaml", "-o", work / f"{number}.eif", "--kms-ca", authority,
           "--kernel", laboratory.KERNEL, *words)
    measurements = work / f"{number}.json"
    lab.ok("owner", "image", "measure", work / f"{number}.eif", "-o", measurements)
    return measurements


def boot(lab, image, name):
    lab.ok("user", "up", "--name", name, "--backend", "qemu", "--accelerator", "tcg", "--image", image, seconds=laboratory.UP_SECONDS)
    lab.enclaves.append(name)
    lab.ok("user", "proxy", "-s", "kms", "--name", name)
    folder = lab.sync(f"shared-{name}", name)
    shutil.copy(lab.folder / "encrypted/here.cloister", folder / "encrypted")


def test_a_new_version_takes_over_without_a_gap(lab, versions):
    work, key, _ = versions

    def here(name):
        done = lab.run("user", "run", "--name", name, "here.cloister", "here")
        return done.stdout if done.returncode == 0 else done.stderr

    terms = ["--release", "1", "--principal", laboratory.HOST_ROLE]
    old = build(lab, work, "1", "--allow-key", key, *terms)
    boot(lab, work / "1.eif", "old")
    assert here("old") == "1\n"
    # The next version is built and may be used, while the one before still may.
    new = build(lab, work, "2")
    assert old.read_text() != new.read_text()
    boot(lab, work / "2.eif", "new")
    assert "AccessDenied" in here("new")
    lab.ok("owner", "key", "allow", "-k", key, "--image", new, *terms)
    assert (here("old"), here("new")) == ("1\n", "2\n")
    # Then the one before may not.
    lab.ok("owner", "key", "revoke", "-k", key, "--image", old)
    assert "AccessDenied" in here("old")
    assert here("new") == "2\n"
    for name in ("old", "new"):
        lab.down(name)


def test_an_emulated_image_gets_no_key_of_awss(lab, versions):
    work, key, _ = versions
    environment = lab.environment("owner")
    del environment["AWS_ENDPOINT_URL_KMS"]
    done = subprocess.run([lab.cloister, "image", "build", work / "1.yaml", "-o", work / "other.eif", "--kms-ca",
                           environment["AWS_CA_BUNDLE"], "--kernel", laboratory.KERNEL, "--allow-key", key],
                          env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1 and "an AWS key must not be opened to it" in done.stderr


for _module, _names in OF_PROCESSES.items():
    for _name in _names:
        globals()[_name] = getattr(_module, _name)
