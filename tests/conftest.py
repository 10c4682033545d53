"""What all end-to-end tests share: the programs under test, short directories, and a limit on time."""

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

import lab as laboratory

ROOT = Path(__file__).resolve().parent.parent
PHASE_SECONDS = 60  # for setup, call and teardown each; see the timeout marker


class Binaries:
    """The programs of one build. binaries["cloister"] is a path; a program that is missing fails the test."""

    def __init__(self, build):
        self.build = build

    def __getitem__(self, name):
        for path in (self.build / "bin" / name, self.build / name):
            if os.access(path, os.X_OK) and path.is_file():
                return path
        pytest.fail(f"no program {name} in {self.build}: run ./dev build, or set CLOISTER_BUILD", pytrace=False)


@pytest.fixture(scope="session")
def binaries():
    return Binaries(Path(os.environ.get("CLOISTER_BUILD", ROOT / "build" / "dev")).resolve())


@pytest.fixture(scope="session")
def repository():
    return ROOT


@pytest.fixture(scope="module")
def lab(binaries):
    """An installation of its own for the tests of one module: a key service, an owner, users. Whatever it starts ends with it."""
    why_not = laboratory.why_not_booted() if laboratory.EVERYWHERE_BOOTED else laboratory.why_not()
    if why_not is not None:
        pytest.skip(why_not)
    made = laboratory.Lab(binaries)
    yield made
    made.close()


@pytest.fixture(scope="module")
def probe(lab, repository):
    """The victims as a package in a running enclave: the folder of the user, who knows the signer."""
    return lab.share_victims(repository)


@pytest.fixture(scope="module")
def second(lab, probe):
    """Another mount of the folder that `probe` is."""
    return lab.sync("second")


@pytest.fixture(scope="module")
def data(repository):
    """Real attestation documents; what an independent reader makes of them is `facts`."""
    return repository / "tests/data/attestation"


@pytest.fixture(scope="module")
def facts(data):
    return json.loads((data / "expected.json").read_text())


@pytest.fixture
def short_dir():
    """An empty directory with a short name: the path of a unix socket has at most 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="cl-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def pytest_collection_modifyitems(items):
    if not laboratory.EVERYWHERE_BOOTED:
        return
    for item in items:
        marker = item.get_closest_marker("processes")
        if marker:
            item.add_marker(pytest.mark.skip(reason=f"of processes: {marker.args[0]}"))


class PhaseTimeout(BaseException):
    """Not an Exception, so that code under test cannot swallow it by accident."""


def limited(item, phase):
    marker = item.get_closest_marker("timeout")
    seconds = (marker.args[0] if marker else PHASE_SECONDS) * laboratory.SLOWER

    def ring(_signal, _frame):
        raise PhaseTimeout(f"{phase} of {item.nodeid} took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    yield from limited(item, "setup")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    yield from limited(item, "call")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item):
    yield from limited(item, "teardown")
