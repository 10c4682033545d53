"""The proxy on the host: what it lets through, what it refuses, and that a crowd gets through beside those who dawdle."""

import base64
import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import lab as laboratory

forge = pytest.importorskip("forge", reason="SKIP: needs python3-cbor2, python3-cryptography and python3-zstandard")
pytest.importorskip("botocore", reason="SKIP: needs python3-boto3")

from fake_kms import Middle  # noqa: E402
from forge import compress, tar  # noqa: E402
from trial import APP, check_it_runs  # noqa: E402

KMS = "kms.us-east-1.cloister.test"
CROWD = 100
DAWDLERS = 300  # more than kMaxProxyWaiting
PATIENCE = 30  # seconds, for each single answer


@pytest.fixture(scope="module")
def lab(lab):
    lab.up()
    lab.folder = lab.sync("shared")
    return lab


@pytest.fixture(scope="module")
def directory(lab):
    return lab.root / "run/default"


def restart(lab, *words, env=None):
    lab.ok("user", "proxy", "--stop")
    done = subprocess.run([lab.cloister, "proxy", *map(str, words)], env=lab.environment("user") | (env or {}), cwd=lab.root / "user", text=True,
                          capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture
def proxy(lab):
    """The usual one; whatever a test put in its place is gone afterwards."""
    restart(lab, "-s", "kms")
    yield
    restart(lab, "-s", "kms")


def traffic(lab):
    (enclave,) = json.loads(lab.ok("user", "status", "--json"))["enclaves"]
    return enclave["proxy_traffic"]


def dial(directory):
    plain = socket.socket(socket.AF_UNIX)
    record = json.loads((directory / "enclave.json").read_text())
    plain.connect(record["proxy"].removeprefix("unix://"))  # blocking: a backlog that is full is waited for
    plain.settimeout(PATIENCE)
    return plain


def ask(directory, request):
    """The connection, and the answer's head."""
    plain = dial(directory)
    plain.sendall(request)
    return plain, head_of(plain)


def head_of(plain):
    head = b""
    while b"\r\n\r\n" not in head:
        some = plain.recv(1)
        if not some:
            break
        head += some
    return head.decode()


def connect_to(directory, target):
    return ask(directory, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())


def refused(directory, target):
    plain, head = connect_to(directory, target)
    plain.close()
    return head.partition("\r\n")[0]


class Server:
    """A TCP server of the test's: `talk` has each connection."""

    def __init__(self, talk, host="127.0.0.1", port=0):
        self.listener = socket.create_server((host, port), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.talk = talk
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def answer_at_the_end(connection):
    """Speaks only when the other side has said that it has no more to say."""
    with connection:
        heard = b""
        while some := connection.recv(65536):
            heard += some
        connection.sendall(b"%d bytes" % len(heard))


# --- what is let through ------------------------------------------------------------------------------------------------


def test_half_closes_are_passed_on(lab, directory, proxy):
    with Server(answer_at_the_end) as server:
        restart(lab, "--allow", f"127.0.0.1:{server.port}")
        plain, head = connect_to(directory, f"127.0.0.1:{server.port}")
        assert head.startswith("HTTP/1.1 200 ")
        plain.sendall(bytes(3_000_000))
        plain.shutdown(socket.SHUT_WR)
        assert plain.recv(100) == b"3000000 bytes" and plain.recv(100) == b""
        laboratory.wait_for(lambda: traffic(lab)["bytes_out"] == 3_000_000)
        counted = traffic(lab)
        assert (counted["bytes_back"], counted["accepted"], counted["active"], counted["refused"]) == (13, 1, 0, 0)
        assert "1 connections (0 now), 0 refused, 0 failed, 2.9 MiB out, 13 B back" in lab.ok("user", "status")


def reset_at_once(connection):
    """Has what it wants, and says so rudely."""
    with connection:
        connection.sendall(b"enough")
        connection.recv(1000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_what_moved_before_a_reset_counts(lab, directory, proxy):
    with Server(reset_at_once) as server:
        restart(lab, "--allow", f"127.0.0.1:{server.port}")
        plain, head = connect_to(directory, f"127.0.0.1:{server.port}")
        assert head.startswith("HTTP/1.1 200 ") and plain.recv(100) == b"enough"
        plain.sendall(b"never mind")
        laboratory.wait_for(lambda: traffic(lab)["active"] == 0)
        counted = traffic(lab)
        assert (counted["bytes_out"], counted["bytes_back"]) == (10, 6)


def test_the_list_of_vsock_proxy_is_taken_as_it_is(lab, directory, proxy):
    with Server(answer_at_the_end) as server:
        path = lab.root / "vsock-proxy.yaml"
        path.write_text(f"allowlist:\n- {{address: 127.0.0.1, port: {server.port}}}\n- {{address: '*.example.com', port: 443}}\n")
        said = restart(lab, "-s", "kms", "--allow-list", path)
        assert f"may reach 127.0.0.1:{server.port}\n" in said and "may reach *.example.com:443\n" in said and f"may reach {KMS}:443" in said
        assert connect_to(directory, f"127.0.0.1:{server.port}")[1].startswith("HTTP/1.1 200 ")
        assert connect_to(directory, f"{KMS.upper()}:443")[1].startswith("HTTP/1.1 200 ")
        assert refused(directory, "example.com:443") == "HTTP/1.1 403 Forbidden"
        assert refused(directory, "evilexample.com:443") == "HTTP/1.1 403 Forbidden"
        path.write_text("allowlist:\n- {address: kms.example.com}\n")
        done = lab.run("user", "proxy", "--foreground", "--allow-list", path)
        assert done.returncode == 1 and "line 2: not {address: HOST, port: PORT}" in done.stderr


def test_each_refusal_is_a_line_and_counts(lab, directory, proxy):
    log = directory / "proxy.log"
    before = len(log.read_text().splitlines())
    assert refused(directory, "evil.example:443") == "HTTP/1.1 403 Forbidden"
    assert refused(directory, f"{KMS}:80") == "HTTP/1.1 403 Forbidden"
    plain, head = ask(directory, b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert head.startswith("HTTP/1.1 403 ")
    plain, head = ask(directory, b"CONNECT \33[2Jevil:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert head.startswith("HTTP/1.1 403 ")
    laboratory.wait_for(lambda: traffic(lab)["refused"] == 4)
    lines = log.read_text().splitlines()[before:]
    assert len(lines) == 4 and all("refused: " in line for line in lines) and "\33" not in "".join(lines)
    assert "evil.example:443 is not on the allow-list" in lines[0]
    nobody = f"127.0.0.1:{laboratory.free_port()}"
    restart(lab, "--allow", nobody)
    assert refused(directory, nobody) == "HTTP/1.1 502 Bad Gateway"
    laboratory.wait_for(lambda: traffic(lab)["failed"] == 1)


def test_what_does_not_move_is_ended(lab, directory, proxy):
    with Server(answer_at_the_end) as server:
        restart(lab, "--allow", f"127.0.0.1:{server.port}", "--idle", "1")
        plain, head = connect_to(directory, f"127.0.0.1:{server.port}")
        assert head.startswith("HTTP/1.1 200 ")
        begun = time.monotonic()
        assert plain.recv(1) == b"" and 0.9 < time.monotonic() - begun < PATIENCE
    for idle in ("0", "100000"):
        done = lab.run("user", "proxy", "-s", "kms", "--idle", idle)
        assert done.returncode == 1 and "--idle is 1 to 86400 seconds" in done.stderr


def test_names_are_resolved_anew_each_time(lab, directory, proxy):
    """In a mount namespace with a hosts file of its own, in which the name moves."""
    hosts = lab.root / "hosts"

    def here(connection):
        with connection:
            connection.sendall(connection.getsockname()[0].encode())

    with Server(here, "127.0.0.2") as first, Server(here, "127.0.0.3", first.port):
        hosts.write_text("127.0.0.2 moving.example\n")
        lab.ok("user", "proxy", "--stop")
        script = f"mount --bind {hosts} /etc/hosts && exec {lab.cloister} proxy --foreground --allow moving.example:{first.port}"
        process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], env=lab.environment("user"), cwd=lab.root / "user", stderr=subprocess.PIPE)
        try:
            laboratory.wait_for(lambda: b"may reach" in process.stderr.readline())
            for address in ("127.0.0.2", "127.0.0.3"):
                hosts.write_text(f"{address} moving.example\n")
                plain, _ = connect_to(directory, f"moving.example:{first.port}")
                assert plain.recv(100).decode() == address
        finally:
            process.terminate()
            process.wait(timeout=10)


# --- a crowd --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decrypt(lab):
    """Does what a keeper does, with an enclave's document: CONNECT, TLS, a signed Decrypt with Recipient; the answer's members."""
    owner = forge.Forger(lab.kms_client("owner"), lab.make_key())
    lab.ok("user", "signer", "add", "owner", forge.fingerprint(owner.signer))
    middle = Middle(lab)
    restart(lab, "-s", "kms", env={"AWS_ENDPOINT_URL_KMS": middle.url})
    check_it_runs(lab, owner.package(compress(tar(APP))))
    middle.close()
    restart(lab, "-s", "kms")
    context = owner.context()
    members = {"KeyId": owner.arn, "EncryptionContext": context, "CiphertextBlob": base64.b64encode(owner.data_key(context).wrapped).decode(),
               "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": middle.documents[0]}}
    fields, body = middle.signed(lab.environment("user"), "Decrypt", members)
    trusted = ssl.create_default_context(cafile=lab.environment("user")["AWS_CA_BUNDLE"])
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"POST / HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body

    def go(directory):
        plain, head = connect_to(directory, f"{KMS}:443")
        assert head.startswith("HTTP/1.1 200 "), head
        with trusted.wrap_socket(plain, server_hostname=KMS) as stream:
            stream.sendall(request)
            answer = b""
            while some := stream.recv(65536):
                answer += some
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    return go


def test_a_hundred_attested_decrypts_at_once_beside_those_who_dawdle(lab, directory, proxy, decrypt):
    """Each dawdler connects, says half a word and no more; they are more than may wait, and stay to the end."""
    dawdlers = []
    for _ in range(DAWDLERS):
        plain = dial(directory)
        plain.sendall(b"CONNECT kms")
        dawdlers.append(plain)
    with ThreadPoolExecutor(CROWD) as crowd:
        answers = list(crowd.map(decrypt, [directory] * CROWD))
    assert len({answer["CiphertextForRecipient"] for answer in answers}) == CROWD
    assert not any("Plaintext" in answer for answer in answers)
    counted = traffic(lab)
    assert counted["accepted"] >= CROWD + DAWDLERS and counted["refused"] >= DAWDLERS - 128 - CROWD and counted["failed"] == 0
    for plain in dawdlers:
        plain.close()
    laboratory.wait_for(lambda: traffic(lab)["active"] == 0)


def test_a_connection_that_says_nothing_is_ended(lab, directory, proxy):
    plain = dial(directory)
    plain.sendall(b"CONNECT")
    begun = time.monotonic()
    answer = b""
    try:
        while some := plain.recv(100):
            answer += some
    except ConnectionResetError:
        pass
    assert answer in (b"",) and 9 < time.monotonic() - begun < 9 + PATIENCE


# --- as a service -----------------------------------------------------------------------------------------------------


def test_systemd_has_a_unit_for_it(lab, binaries, tmp_path):
    subprocess.run(["cmake", "--install", binaries.build, "--prefix", tmp_path, "--component", "systemd"], check=True, capture_output=True, timeout=50)
    unit = tmp_path / "lib/systemd/system/cloister-proxy@.service"
    text = unit.read_text()
    words = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1].replace("%i", "default").replace("$CLOISTER_PROXY_OPTIONS", "-s kms").split()
    lab.ok("user", "proxy", "--stop")
    name = str(lab.root / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(20)
        process = subprocess.Popen([lab.cloister, *words[1:]], env=lab.environment("user") | {"NOTIFY_SOCKET": name}, cwd="/", stderr=subprocess.PIPE)
        try:
            assert manager.recv(4096).decode().splitlines() == ["READY=1", "STATUS=enclave 'default' may reach 1 names"]
            assert traffic(lab)["accepted"] == 0
            again = lab.run("user", "proxy", "-s", "kms")
            assert again.returncode == 1 and "a proxy is running already" in again.stderr
        finally:
            process.terminate()
            process.wait(timeout=10)
    restart(lab, "-s", "kms")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIP: no systemd-analyze here")
    instance = tmp_path / "cloister-proxy@default.service"
    instance.write_text(re.sub(r"=\S+/cloister (?=proxy)", f"={lab.cloister} ", text))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", instance], capture_output=True, text=True, timeout=50)
    if "Failed to initialize manager" in done.stderr or "Failed to connect" in done.stderr:
        pytest.skip(f"SKIP: systemd-analyze cannot work here: {done.stderr.strip()}")
    assert done.returncode == 0 and "cloister-proxy" not in done.stderr, done.stderr


def test_it_ends_with_its_enclave(lab):
    lab.up("brief")
    record = json.loads((lab.root / "run/brief/proxy.json").read_text())
    first = json.loads((lab.root / "run/brief/enclave.json").read_text())["pid"]
    laboratory.signal.pidfd_send_signal(laboratory.os.pidfd_open(first), laboratory.signal.SIGKILL)
    laboratory.wait_for(lambda: not (laboratory.Path("/proc") / str(record["pid"])).exists())
    assert "enclave 'brief' has ended" in (lab.root / "run/brief/proxy.log").read_text()
    lab.down("brief")
