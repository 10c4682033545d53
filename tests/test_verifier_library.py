"""The verifier as a library: installed, and in somebody else's program."""

import re
import shutil
import subprocess

import pytest

PRODUCTION, DEBUG = "production-2022-10.cbor", "debug-2022-10.cbor"


def built(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def installed(binaries, tmp_path_factory):
    """The verifier as an installation has it, away from the sources."""
    prefix = tmp_path_factory.mktemp("prefix")
    built("cmake", "--install", binaries.build, "--prefix", prefix, "--component", "verifier")
    return prefix


@pytest.fixture(scope="module")
def program(installed, repository, tmp_path_factory):
    """samples/verify-document, built as its author would, in a copy that sees nothing of this repository."""
    source = tmp_path_factory.mktemp("consumer")
    shutil.copytree(repository / "samples/verify-document", source / "source")
    built("cmake", "-S", source / "source", "-B", source / "build", f"-DCMAKE_PREFIX_PATH={installed}")
    built("cmake", "--build", source / "build")
    return source / "build/verify-document"


@pytest.mark.timeout(180)
def test_another_program_verifies_with_the_installed_library(program, data, facts, tmp_path):
    def run(raw_bytes):
        (tmp_path / "document").write_bytes(raw_bytes)
        return subprocess.run([program, tmp_path / "document"], capture_output=True, text=True, timeout=50, check=False)

    real = (data / PRODUCTION).read_bytes()
    done = run(real)
    assert (done.returncode, done.stdout) == (0, f"PCR0 {facts[PRODUCTION]['pcrs']['0']}\n"), done.stderr
    flips = {len(real) - 1: "signature does not verify", real.index(b"pcrs") + 10: "signature does not verify", 0: "attestation document: CBOR"}
    for at, why in flips.items():
        done = run(real[:at] + bytes([real[at] ^ 1]) + real[at + 1:])
        assert done.returncode == 1 and done.stdout == "" and why in done.stderr, (at, done)
    done = run((data / DEBUG).read_bytes())
    assert done.returncode == 1 and "debug mode" in done.stderr
    assert run(b"").returncode == 1


@pytest.mark.timeout(180)
def test_installed_headers_stand_alone(installed):
    headers = sorted((installed / "include/cloister").rglob("*.h"))
    assert any(header.name == "judge.h" for header in headers)
    for header in headers:
        name = header.relative_to(installed / "include/cloister")
        done = subprocess.run(["g++", "-std=c++23", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", installed / "include/cloister", "-x", "c++",
                               "-"], input=f'#include "{name}"\n', capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        assert not re.search(r"openssl/|nlohmann|CLI/", header.read_text()), name
