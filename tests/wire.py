"""An enclave's control surface, spoken by hand: TLS with a key of one's own, and HTTP as raw bytes."""

import json
import secrets
import socket
import ssl
import subprocess
from typing import NamedTuple

ANSWER_SECONDS = 30


class Answer(NamedTuple):
    status: int
    fields: dict
    body: bytes
    raw: bytes  # all of it, as it came

    def json(self):
        return json.loads(self.body)

    def error(self):
        """(status, kind, message) of an error."""
        facts = self.json()["error"]
        return self.status, facts["kind"], facts["message"]


class Identity:
    """A client's TLS key with its self-signed certificate. key: an existing one; else a new one is made."""

    def __init__(self, directory, name, key=None):
        self.certificate = directory / f"{name}.crt"
        self.key = key or directory / f"{name}.key"
        made = ["-key", self.key] if key else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key]
        subprocess.run(["openssl", "req", "-x509", *made, "-subj", f"/CN={name}", "-days", "2", "-out", self.certificate],
                       check=True, capture_output=True, timeout=20)

    def fingerprint(self):
        """SHA-256 of the SubjectPublicKeyInfo: what the enclave calls this client."""
        public = subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-outform", "DER"], check=True,
                                capture_output=True, timeout=20).stdout
        return subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=public, check=True, capture_output=True,
                              timeout=20).stdout.split()[0].decode()


def connect(path, port=None):
    """port: of the machine whose vsock device has that socket (docs of vhost-device-vsock); a pair has both."""
    if isinstance(path, tuple):
        path, port = path
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(ANSWER_SECONDS)
    plain.connect(str(path))
    if port is not None:
        plain.sendall(f"CONNECT {port}\n".encode())
        said = b""
        while not said.endswith(b"\n"):
            piece = plain.recv(1)
            if not piece:
                raise ConnectionResetError(f"nobody listens on port {port}")
            said += piece
    return plain


class Wire:
    """One connection to an enclave. It is nobody's honest client: no document is verified."""

    def __init__(self, path, identity, attest=True, port=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(identity.certificate, identity.key)
        self.stream = context.wrap_socket(connect(path, port))
        self.rest = b""
        if attest:
            assert self.attest().status == 200

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def attest(self, nonce=None, more=""):
        return self.ask("GET", f"/v1/attestation?nonce={nonce or secrets.token_hex(32)}{more}")

    def send(self, raw):
        self.stream.sendall(raw)

    def ask(self, method, target, body=None, fields=()):
        head = [f"{method} {target} HTTP/1.1", "Host: enclave", *fields]
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        self.send("\r\n".join([*head, "", ""]).encode() + content)
        return self.answer(bodiless=method == "HEAD")

    def answer(self, bodiless=False):
        """The next answer; None if the enclave has closed the connection instead."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode().split("\r\n")[:-2]
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        body = raw = b""
        if fields.get("transfer-encoding") == "chunked" and not bodiless:
            body, raw = self._chunks()
        elif not bodiless:
            body = raw = self._exactly(int(fields["content-length"]))
        return Answer(int(first.split()[1]), fields, body, head + raw)

    def _fill(self):
        try:
            piece = self.stream.recv(65536)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            piece = b""
        self.rest += piece
        return bool(piece)

    def _until(self, mark):
        while mark not in self.rest:
            if not self._fill():
                assert self.rest == b"", self.rest
                return None
        end = self.rest.index(mark) + len(mark)
        out, self.rest = self.rest[:end], self.rest[end:]
        return out

    def _exactly(self, size):
        while len(self.rest) < size:
            assert self._fill(), "the answer was cut"
        out, self.rest = self.rest[:size], self.rest[size:]
        return out

    def _chunks(self):
        body = raw = b""
        while True:
            line = self._until(b"\r\n")
            piece = self._exactly(int(line, 16) + 2)
            body, raw = body + piece[:-2], raw + line + piece
            if line == b"0\r\n":
                return body, raw


def job_order(lab, who="user", **changed):
    """A job as a client posts it."""
    env = lab.environment(who)
    order = {"package": "encrypted/probe.cloister", "entry": "exit.py", "arguments": ["exit", "0"], "signers": [lab.signer],
             "credentials": {"access_key_id": env["AWS_ACCESS_KEY_ID"], "secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}}
    if env.get("AWS_SESSION_TOKEN"):
        order["credentials"]["session_token"] = env["AWS_SESSION_TOKEN"]
    return order | changed


def follow(wire, job):
    """The events of a job, to its end."""
    answer = wire.ask("GET", f"/v1/jobs/{job}/events")
    assert answer.status == 200, answer
    return [json.loads(line) for line in answer.body.splitlines()]
