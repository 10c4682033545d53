"""What a hostile host, or another client of the same enclave, may try on its sockets. Each refusal is asserted with its reason."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import lab as laboratory
import wire

cbor2 = pytest.importorskip("cbor2", reason="SKIP: python3-cbor2 is not installed")

ABSENT = "0123456789abcdef"
REQUESTS, NOTIFICATIONS = 1, 2  # kinds of lanes, docs/formats/share.md


@pytest.fixture(scope="module")
def lab(lab, repository):
    lab.share_victims(repository)
    lab.control, lab.lanes = lab.socket_of("control"), lab.socket_of("lanes")
    lab.user = wire.Identity(lab.root, "the-user", lab.root / "user/cloister/client-key.pem")
    lab.stranger = wire.Identity(lab.root, "a-stranger")
    return lab


def payload(document):
    """What an attestation document says, its signature unverified."""
    message = cbor2.loads(document)
    return cbor2.loads(getattr(message, "value", message)[2])


# --- another client -----------------------------------------------------------------------------------------------


def test_another_clients_job_is_as_one_that_never_was(lab):
    (lab.folder / "output/started").unlink(missing_ok=True)
    running = lab.start("user", "run", "probe.cloister", "slow.py")
    try:
        assert running.stdout.readline() == b"started\n"
        with wire.Wire(lab.control, lab.user) as mine, wire.Wire(lab.control, lab.stranger) as theirs:
            job = mine.ask("GET", "/v1/jobs").json()["jobs"][0]
            assert job["state"] == "running"
            for method, path in [("GET", "/v1/jobs/{}"), ("DELETE", "/v1/jobs/{}"), ("GET", "/v1/jobs/{}/events"), ("PUT", "/v1/jobs/{}"),
                                 ("DELETE", "/v1/jobs/{}/events"), ("GET", "/v1/jobs/{}/output")]:
                answer = theirs.ask(method, path.format(job["id"]))
                assert answer.raw == theirs.ask(method, path.format(ABSENT)).raw, (method, path)
                if method != "PUT" and path != "/v1/jobs/{}/output" and (method, path) != ("DELETE", "/v1/jobs/{}/events"):
                    assert answer.error() == (404, "not_found", "no such job")
            assert theirs.ask("GET", "/v1/jobs").body == b'{"jobs":[]}'
            assert mine.ask("GET", f"/v1/jobs/{job['id']}").json() == job  # it runs on
        assert running.poll() is None
    finally:
        laboratory.interrupt(running)
        assert running.wait(timeout=20) == 130


def test_another_client_neither_mounts_the_share_nor_runs_from_it(lab):
    folder = lab.sync("theirs", who="stranger")
    try:
        assert os.listdir(folder / "encrypted") == [] and os.listdir(folder / "dataset") == []
        (folder / "encrypted/up").symlink_to("../../0/encrypted/probe.cloister")
        identity = wire.Identity(lab.root, "stranger-cli", lab.root / "stranger/cloister/client-key.pem")
        with wire.Wire(lab.control, identity) as theirs:
            for package, reason in [("encrypted/probe.cloister", "has no file"), ("../0/encrypted/probe.cloister", "'..' is not a name"),
                                    ("encrypted/../../0/encrypted/probe.cloister", "'..' is not a name"), ("encrypted/up", "symbolic links"),
                                    ("/run/cloister/shares/0/encrypted/probe.cloister", "absolute path"), ("", "a name of 0 bytes")]:
                job = theirs.ask("POST", "/v1/jobs", wire.job_order(lab, "stranger", package=package)).json()["id"]
                end = wire.follow(theirs, job)[-1]
                assert end["event"] == "error" and end["error"]["exit_code"] == 125, (package, end)
                assert reason in end["error"]["message"], (package, end)
    finally:
        lab.ok("stranger", "unsync", "-d", "theirs")


# --- TLS ----------------------------------------------------------------------------------------------------------


def client_context(identity=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def server_context(identity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def test_tls_1_2_is_refused(lab):
    context = client_context(lab.user)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError) as refused:
        context.wrap_socket(wire.connect(lab.control))
    assert "PROTOCOL_VERSION" in refused.value.reason


def test_a_client_without_a_key_is_refused(lab):
    stream = client_context().wrap_socket(wire.connect(lab.control))
    with pytest.raises(ssl.SSLError) as refused:  # in TLS 1.3 the client hears of it after its own Finished
        stream.recv(1)
    assert "CERTIFICATE_REQUIRED" in refused.value.reason


def test_a_client_key_that_is_no_signing_key_of_ours_is_refused(lab):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", lab.root / "rsa.key", "-subj", "/CN=rsa", "-out",
                    lab.root / "rsa.crt"], check=True, capture_output=True, timeout=20)
    context = client_context()
    context.load_cert_chain(lab.root / "rsa.crt", lab.root / "rsa.key")
    with pytest.raises(ssl.SSLError):
        stream = context.wrap_socket(wire.connect(lab.control))
        stream.recv(1)


def exchange(stream, nonce="0" * 64):
    stream.sendall(f"GET /v1/attestation?nonce={nonce} HTTP/1.1\r\nHost: e\r\n\r\n".encode())
    return stream.recv(65536)


def test_no_session_is_resumed(lab):
    # A session that a server with the same suites gave out, offered to the enclave; that it could be resumed is shown first.
    context, other = client_context(lab.user), server_context(lab.stranger)

    def serve(listener):
        for _ in range(2):
            with other.wrap_socket(listener.accept()[0], server_side=True) as stream:
                stream.sendall(b"x")

    path = lab.root / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        serving = threading.Thread(target=serve, args=(listener,))
        serving.start()
        with context.wrap_socket(wire.connect(path)) as stream:
            assert stream.recv(1) == b"x"
            session = stream.session
        with context.wrap_socket(wire.connect(path), session=session) as stream:
            assert stream.recv(1) == b"x" and stream.session_reused
        serving.join()
    with context.wrap_socket(wire.connect(lab.control), session=session) as stream:
        assert exchange(stream).startswith(b"HTTP/1.1 200 ")
        assert not stream.session_reused and stream.version() == "TLSv1.3"
        assert not stream.session.has_ticket  # and none is given out


@pytest.mark.processes("openssl s_client knows no vsock device")
def test_early_data_is_refused(lab):
    path, saved, early = lab.root / "early.sock", lab.root / "early.pem", lab.root / "early.txt"
    early.write_bytes(b"GET /v1/info HTTP/1.1\r\nHost: early\r\n\r\n")
    certificate = ["-cert", lab.stranger.certificate, "-key", lab.stranger.key]
    openssl = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

    def early_client(to, *more):
        """Output of a client that has early data and one request after it."""
        words = ["openssl", "s_client", "-unix", to, "-tls1_3", *certificate, "-sess_in", saved, "-early_data", early, *more]
        with subprocess.Popen(words, **openssl) as client:
            try:
                return client.communicate(b"GET /v1/attestation?nonce=%s HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n" % (b"0" * 64), timeout=20)[0]
            finally:
                client.kill()

    with subprocess.Popen(["openssl", "s_server", "-unix", path, "-tls1_3", *certificate, "-early_data", "-max_early_data", "4096", "-no_anti_replay"],
                          **openssl) as server:
        try:
            laboratory.wait_for(path.exists)
            with subprocess.Popen(["openssl", "s_client", "-unix", path, "-tls1_3", "-sess_out", saved], **openssl) as client:
                laboratory.wait_for(lambda: saved.exists() and saved.stat().st_size > 0)
                client.kill()
            assert b"Early data was accepted" in early_client(path)  # so it is really sent
        finally:
            server.kill()
    said = early_client(lab.control, "-ign_eof")
    assert b"Early data was accepted" not in said and b"Reused, " not in said
    assert b"/v1/info" not in said and b'"mode"' not in said and b"Host: early" not in said
    # The enclave skips not one byte of early data: it ends the connection, so that nothing after it is answered either.
    assert b"Early data was rejected" in said and b"HTTP/1.1" not in said, said


# --- a man in the middle ------------------------------------------------------------------------------------------


class Middle(threading.Thread):
    """Takes the enclave's place for one connection, with a TLS key of his own, and answers the nonce with `document(nonce)`."""

    def __init__(self, lab, name, document):
        super().__init__()
        self.context, self.document = server_context(wire.Identity(lab.root, name)), document
        self.path = lab.root / f"{name}.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(20)
        self.heard = b""  # everything, decrypted

    def run(self):
        plain, _ = self.listener.accept()
        plain.settimeout(20)
        with self.context.wrap_socket(plain, server_side=True) as stream:
            self.heard = stream.recv(65536)
            document = self.document(re.search(rb"nonce=([0-9a-f]{64}) ", self.heard)[1].decode())
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/cbor\r\nContent-Length: %d\r\n\r\n%s" % (len(document), document))
            try:
                while piece := stream.recv(65536):
                    self.heard += piece
            except OSError:
                pass
        self.listener.close()


def run_against(lab, path, *options):
    """`cloister run` by a user whose enclave's socket has been replaced."""
    record = lab.root / "run/default/enclave.json"
    before = record.read_text()
    record.write_text(json.dumps(json.loads(before) | {"control": f"unix://{path}"}))
    try:
        return lab.run("user", "run", *options, "--", "probe.cloister", "exit.py", "exit", "0")
    finally:
        record.write_text(before)


def secrets_of(lab):
    env = lab.environment("user")
    return [env[name].encode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]


def assert_refused(lab, middle, reason):
    middle.start()
    done = run_against(lab, middle.path)
    middle.join()
    assert done.returncode == 125 and reason in done.stderr, done.stderr
    assert middle.heard.count(b" HTTP/1.1\r\n") == 1 and middle.heard.startswith(b"GET /v1/attestation?nonce=")
    assert not any(secret in middle.heard for secret in secrets_of(lab))


def test_a_relayed_document_is_refused(lab):
    def relay(nonce):
        with wire.Wire(lab.control, lab.stranger, attest=False) as real:
            return real.attest(nonce).body

    assert_refused(lab, Middle(lab, "relay", relay), "belongs to another connection: somebody stands between you and the enclave")


def test_a_replayed_document_is_refused(lab):
    with wire.Wire(lab.control, lab.user, attest=False) as real:
        old = real.attest().body
    assert_refused(lab, Middle(lab, "replay", lambda _: old), "answers another nonce")


def test_damaged_documents_are_refused(lab):
    def flipped(nonce):
        with wire.Wire(lab.control, lab.stranger, attest=False) as real:
            document = bytearray(real.attest(nonce).body)
        document[-1] ^= 1  # of the signature
        return bytes(document)

    assert_refused(lab, Middle(lab, "flipped", flipped), "attestation")
    assert_refused(lab, Middle(lab, "empty", lambda _: b""), "attestation")
    assert_refused(lab, Middle(lab, "bomb", lambda _: b"\x9f" * 16000), "attestation")


@pytest.fixture
def false_enclave(lab, binaries):
    """Starts a false enclave: it has the machine's development root, as the host of a simulated one does, and binds its documents."""
    started = []

    def start(*words):
        path = lab.root / f"false-{secrets.token_hex(4)}.sock"
        process = subprocess.Popen([binaries["false_enclave"], path, lab.root / "state/development-root", lab.measure(), *words],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        laboratory.wait_for(path.exists)
        return path, process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_documents_that_are_bound_but_not_right_are_refused(lab, false_enclave):
    rows = [(["--age", "310"], "off this machine's clock"), (["--age", "-310"], "leaf: not valid yet"),
            (["--debug"], "debug mode"), (["--pcr0", "11" * 48], "PCR0"), (["--public-key"], "made for another purpose"),
            (["--no-binding"], "belongs to another connection")]
    for words, reason in rows:
        path, process = false_enclave(*words)
        done = run_against(lab, path)
        assert done.returncode == 125 and reason in done.stderr, (words, done.stderr)
        heard, _ = process.communicate(timeout=10)
        assert heard.count(b"\n") == 1 and heard.startswith(b"GET /v1/attestation?"), (words, heard)
    # What it would hear if its document were right: the test can see credentials. (Simulated enclaves are not confidential.)
    path, process = false_enclave()
    run_against(lab, path)
    heard, _ = process.communicate(timeout=10)
    assert all(secret in heard for secret in secrets_of(lab)), heard


# --- what the enclave believes ------------------------------------------------------------------------------------


def test_no_request_changes_what_the_enclave_believes(lab):
    with wire.Wire(lab.control, lab.user, attest=False) as one:
        nonce = secrets.token_hex(32)
        plain = payload(one.attest(nonce).body)
        asked = one.attest(nonce, "&public_key=3059301306&user_data=00&nonce=" + "11" * 32 + "&pcr0=00&debug=1")
        assert asked.status == 200
        document = payload(asked.body)
        assert document["public_key"] is None and document["nonce"] == bytes.fromhex(nonce)
        assert document["user_data"] == plain["user_data"] and document["pcrs"] == plain["pcrs"]
        assert one.ask("POST", "/v1/attestation", {"public_key": "00"}).status == 400
        info = one.ask("GET", "/v1/info").body
        for member in ("mode", "kms_endpoint", "kms_endpoints", "kms_ca_bundle", "required_walls", "trust", "environment", "public_key", "user", "client"):
            answer = one.ask("POST", "/v1/jobs", wire.job_order(lab, **{member: "production"}))
            assert answer.error() == (400, "invalid", f"unknown member '{member}'")
        fields = ["X-Cloister-Mode: production", "X-Forwarded-Client-Cert: " + "0" * 64, "Forwarded: for=root", "Authorization: Bearer x"]
        assert one.ask("GET", "/v1/info?mode=production&client=" + "0" * 64, fields=fields).body == info


@pytest.fixture
def supervisor(lab):
    """Starts cloisterd-sim by hand: its process, and its sockets' directory."""
    started = []

    def start(*more, trust=None, environment=None):
        directory = lab.root / f"run/hand-{secrets.token_hex(4)}"
        (directory / "parent").mkdir(parents=True)
        files = lab.root / "state/simulated/default"
        trust_file = files / "trust.json"
        if trust is not None:
            trust_file = lab.root / f"trust-{len(started)}.json"
            trust_file.write_text(json.dumps(json.loads((files / "trust.json").read_text()) | trust))
        words = ["--run-directory", directory, "--trust", trust_file, "--runtime", files / "runtime.json", "--development-root",
                 lab.root / "state/development-root", *more]
        started.append(subprocess.Popen([lab.programs / "cloisterd-sim", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment or {}))
        return started[-1], directory

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def started_at(pid):
    """In clock ticks since boot, as `cloister up` notes it: the proxy ends with the enclave of its record."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.processes("it starts the supervisor by hand")
def test_variables_of_the_host_have_no_effect(lab, supervisor):
    assert environment_of(json.loads((lab.root / "run/default/enclave.json").read_text())["pid"]) == {}
    published = json.loads(lab.measure().read_text())["Measurements"]["PCR0"]
    with socket.socket() as evil:
        evil.bind(("127.0.0.1", 0))
        evil.listen()
        evil.setblocking(False)
        url = "http://127.0.0.1:%d" % evil.getsockname()[1]
        hostile = dict.fromkeys(["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"], url)
        hostile |= {"AWS_REGION": "eu-west-3", "SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/", "OPENSSL_CONF": "/dev/null",
                    "CLOISTER_MODE": "production", "LD_PRELOAD": "/nothing.so"}
        process, directory = supervisor(environment=hostile)
        laboratory.wait_for((directory / "control.sock").exists)
        assert environment_of(process.pid) == hostile  # they did arrive
        with wire.Wire(directory / "control.sock", lab.user, attest=False) as one:
            assert payload(one.attest().body)["pcrs"][0].hex() == published
            assert one.ask("GET", "/v1/info").json()["mode"] == "simulated"
        name = directory.name
        record = json.loads((lab.root / "run/default/enclave.json").read_text())
        record |= {"name": name, "pid": process.pid, "started": started_at(process.pid)} | {key: record[key].replace("/default/", f"/{name}/") for key in ("control", "lanes", "proxy")}
        (directory / "enclave.json").write_text(json.dumps(record))
        lab.ok("user", "proxy", "-s", "kms", "--name", name)
        folder = lab.sync("influenced", name)
        shutil.copy(lab.folder / "encrypted/probe.cloister", folder / "encrypted")
        done = lab.run("user", "run", "--name", name, "--", "probe.cloister", "exit.py", "exit", "0")
        assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            evil.accept()
    lab.ok("user", "unsync", "-d", "influenced")
    lab.ok("user", "proxy", "--stop", "--name", name)


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return dict(item.split("=", 1) for item in file.read().decode().split("\0") if "=" in item)


@pytest.mark.processes("it starts the supervisor by hand")
def test_the_command_line_has_no_word_for_trust(lab, supervisor):
    for more in (["--kms-endpoint", "https://evil.example"], ["--mode", "production"], ["--kms-ca", "/dev/null"], ["--required-walls", ""],
                 ["--debug"], ["--pcr0", "00"], ["--trust", "/dev/null", "extra"]):
        process, _ = supervisor(*more)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 2 and b"option" in said, (more, said)


@pytest.mark.processes("it starts the supervisor by hand")
def test_another_trust_file_is_refused_or_measured(lab, supervisor):
    for trust, reason in [({"mode": "production"}, b"mode"), ({"mode": "emulated"}, b"mode"), ({"required_walls": ["moat"]}, b"moat"),
                          ({"kms_endpoint": "https://evil.example"}, b"kms_endpoint"), ({"version": 2}, b"version")]:
        process, _ = supervisor(trust=trust)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 1 and reason in said, (trust, said)
    published = json.loads(lab.measure().read_text())["Measurements"]["PCR0"]
    for trust, same in [(None, True), ({"kms_endpoints": {"aws": {"standard": "kms.{region}.evil.example"}}}, False), ({"required_walls": []}, False)]:
        process, directory = supervisor(trust=trust)
        laboratory.wait_for((directory / "control.sock").exists)
        with wire.Wire(directory / "control.sock", lab.user, attest=False) as one:
            measured = payload(one.attest().body)["pcrs"][0].hex()
        assert (measured == published) == same, trust


# --- HTTP ---------------------------------------------------------------------------------------------------------

SMUGGLED = b"GET /v1/info HTTP/1.1\r\nHost: smuggled\r\n\r\n"
POST = b"POST /v1/share HTTP/1.1\r\nHost: e\r\n"
GET = b"GET /v1/info HTTP/1.1\r\nHost: e\r\n"
BODY = b'{"lanes":1}'
SHAPES = {
    "length and coding": (POST + b"Content-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 11\r\nContent-Length: 0\r\n\r\n" + BODY, 400),
    "two equal lengths": (POST + b"Content-Length: 11\r\nContent-Length: 11\r\n\r\n" + BODY, 400),
    "list of lengths": (POST + b"Content-Length: 11, 11\r\n\r\n" + BODY, 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "signed length": (POST + b"Content-Length: +11\r\n\r\n" + BODY, 400),
    "hexadecimal length": (POST + b"Content-Length: 0xb\r\n\r\n" + BODY, 400),
    "overflowing length": (POST + b"Content-Length: 18446744073709551627\r\n\r\n" + BODY, 400),
    "two codings": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    "list of codings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "unknown coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "coding with a tab": (POST + b"Transfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n", 400),
    "space before the colon": (POST + b"Content-Length : 11\r\n\r\n" + BODY, 400),
    "folded field": (GET + b"X-A: b\r\n Content-Length: 5\r\n\r\n", 400),
    "bare LF in the head": (b"GET /v1/info HTTP/1.1\nHost: e\n\r\n\r\n", 400),
    "bare LF between fields": (GET + b"X-A: b\nX-C: d\r\n\r\n", 400),
    "bare CR in a field": (GET + b"X-A: b\rX-C: d\r\n\r\n", 400),
    "NUL in a field": (GET + b"X-A: \0\r\n\r\n", 400),
    "two hosts": (GET + b"Host: f\r\n\r\n", 400),
    "no host": (b"GET /v1/info HTTP/1.1\r\n\r\n", 400),
    "absolute target": (b"GET http://evil/v1/info HTTP/1.1\r\nHost: e\r\n\r\n", 400),
    "connect": (b"CONNECT kms:443 HTTP/1.1\r\nHost: e\r\n\r\n", 400),
    "HTTP/1.0": (b"GET /v1/info HTTP/1.0\r\nHost: e\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "chunk longer than it says": (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", 400),
    "chunk of odd size": (POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400),
    "chunk with bare LF": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n", 400),
    "overflowing chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    "huge chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n200000\r\n", 413),
    "head of 8 KiB": (GET + b"X-A: " + b"a" * 8192 + b"\r\n\r\n", 431),
    "head of many fields": (GET + b"A: b\r\n" * 2000 + b"\r\n", 431),
    "body over 1 MiB": (POST + b"Content-Length: 1048577\r\n\r\n", 413),
    "odd expectation": (POST + b"Expect: 200-ok\r\nContent-Length: 11\r\n\r\n" + BODY, 417),
}


@pytest.mark.parametrize("name", SHAPES)
def test_ambiguous_requests_end_the_connection(lab, name):
    raw, status = SHAPES[name]
    with wire.Wire(lab.control, lab.user) as one:
        one.send(raw + SMUGGLED)
        answer = one.answer()
        assert answer.status == status, answer
        assert answer.fields["connection"] == "close"
        assert answer.json()["error"]["kind"] in ("invalid", "exhausted")
        assert one.answer() is None  # nobody answered what came behind it


def test_the_largest_head_and_body_are_taken(lab):
    with wire.Wire(lab.control, lab.user) as one:
        head = GET + b"X-A: "
        one.send(head + b"a" * (8192 - len(head) - 4) + b"\r\n\r\n")
        assert one.answer().status == 200
        body = BODY + b" " * (1024 * 1024 - len(BODY))
        assert one.ask("POST", "/v1/share", body).status == 200
        # Two whole requests at once are two, in order.
        one.send(GET + b"\r\n" + SMUGGLED.replace(b"info", b"none"))
        assert [one.answer().status, one.answer().status] == [200, 404]


def seconds_until_closed(drip, patience=40):
    """How long the enclave bears a peer that sends a byte now and then."""
    started = time.monotonic()
    while time.monotonic() - started < patience:
        if drip():
            return time.monotonic() - started
    return patience


def test_slow_peers_are_ended_by_their_deadline(lab):
    took = {}

    def head():
        with wire.Wire(lab.control, lab.user) as one:
            one.stream.settimeout(0.5)

            def drip():
                try:
                    one.send(b"G")
                    return bool(one.stream.recv(4096).startswith(b"HTTP/1.1 408 "))
                except TimeoutError:
                    return False

            took["head"] = seconds_until_closed(drip)

    def dripping_plain(path, name, byte):
        plain = wire.connect(path)
        plain.settimeout(0.5)

        def drip():
            try:
                plain.sendall(byte)
                return plain.recv(4096) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        took[name] = seconds_until_closed(drip)
        plain.close()

    threads = [threading.Thread(target=head), threading.Thread(target=dripping_plain, args=(lab.control, "handshake", b"\x16")),
               threading.Thread(target=dripping_plain, args=(lab.lanes, "hello", b""))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 18 < took["head"] < 30, took
    assert took["handshake"] < 15, took
    assert 4 < took["hello"] < 12, took
    with wire.Wire(lab.control, lab.user) as one:
        assert one.ask("GET", "/v1/info").status == 200


# --- lanes --------------------------------------------------------------------------------------------------------


def hello(ticket, kind=REQUESTS, magic=b"CLSH", version=1):
    return magic + struct.pack(">HH", version, kind) + ticket


def greet(lab, raw):
    """What the lane port says to this hello: a status, or None if it closes without one."""
    with wire.connect(lab.lanes) as lane:
        lane.sendall(raw)
        said = lane.recv(16)
        if not said:
            return None
        assert said[:6] == b"CLSR\0\1", said
        status = struct.unpack(">H", said[6:8])[0]
        assert status == 0 or lane.recv(1) == b""  # refused is closed
        return status


def tickets(lab, identity, lanes=1):
    with wire.Wire(lab.control, identity) as one:
        given = one.ask("POST", "/v1/share", {"lanes": lanes}).json()
    return [bytes.fromhex(ticket) for ticket in given["tickets"]], bytes.fromhex(given["notifier"])


def test_a_lane_needs_a_fresh_ticket_of_its_kind(lab):
    (first, second, third), notifier = tickets(lab, lab.user, 3)
    assert greet(lab, hello(secrets.token_bytes(32))) == 1
    assert greet(lab, hello(bytes(32))) == 1
    assert greet(lab, hello(first)) == 0
    assert greet(lab, hello(first)) == 1  # once only
    assert greet(lab, hello(second, NOTIFICATIONS)) is None  # of the other kind
    assert greet(lab, hello(second)) == 1  # and spent by the attempt
    assert greet(lab, hello(notifier)) is None
    assert greet(lab, hello(notifier, NOTIFICATIONS)) == 1
    assert greet(lab, hello(third[:-1] + bytes([third[-1] ^ 1]))) == 1  # almost right
    assert greet(lab, hello(third)) == 0


def test_a_mount_for_which_there_is_no_room_hears_so(lab):
    """Tickets of a time when there was room."""
    given = [tickets(lab, lab.stranger)[0][0] for _ in range(5)]
    lanes = [wire.connect(lab.lanes) for _ in given]
    said = []
    for lane, ticket in zip(lanes, given):
        lane.sendall(hello(ticket))
        said.append(struct.unpack(">H", lane.recv(16)[6:8])[0])
    assert said == [0, 0, 0, 0, 2]
    assert lanes[-1].recv(1) == b""
    for lane in lanes:
        lane.close()


def test_a_hello_of_garbage_is_closed_without_a_word(lab):
    (ticket,), _ = tickets(lab, lab.user)
    for raw in (b"\0" * 40, b"GET / HTTP/1.1\r\nHost: enclave........\r\n\r\n"[:40], hello(ticket, magic=b"CLSX"), hello(ticket, version=2),
                hello(ticket, version=0), hello(ticket, kind=0), hello(ticket, kind=3), secrets.token_bytes(40)):
        assert len(raw) == 40 and greet(lab, raw) is None, raw
    assert greet(lab, hello(ticket)) == 0  # none of them spent the ticket


def test_a_lane_that_talks_garbage_after_its_hello_hurts_itself_only(lab):
    (ticket, other), _ = tickets(lab, lab.stranger, 2)
    with wire.connect(lab.lanes) as lane:
        lane.sendall(hello(ticket))
        assert lane.recv(16)[6:8] == b"\0\0"
        lane.sendall(struct.pack("<IIQQIIIHH", 39, 1, 1, 1, 0, 0, 0, 0, 0))  # a length below a header's
        assert lane.recv(1) == b""
    assert greet(lab, hello(other)) == 0
    assert "enclave" in (lab.folder / "from_server.txt").read_text()
