"""Servers where KMS should be: one that answers as a test wants it to, or not at all, and one in the middle."""

import json
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass

JSON_TYPE = "application/x-amz-json-1.1"
READ = 65536


@dataclass
class Heard:
    """A request: its operation, its fields as sent, its body."""

    operation: str
    fields: dict
    body: bytes

    @property
    def members(self):
        return json.loads(self.body)


@dataclass
class Reply:
    status: int
    body: bytes
    fields: tuple = ()


def refusal(status, kind, message):
    return Reply(status, json.dumps({"__type": kind, "message": message}).encode())


def read_request(stream):
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += stream.recv(READ)
    head, _, body = heard.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        body += stream.recv(READ)
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return Heard(fields["X-Amz-Target"].partition(".")[2], fields, body)


class FakeKms:
    """Stands where KMS should, with the lab's certificate unless given another. answer: a triple (status, type, message), a function from
    Heard to Reply, or None to say nothing."""

    def __init__(self, lab, certificate=None):
        self.answer, self.asked = None, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate or (lab.kms / "server.pem", lab.kms / "server.key"))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.silent = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        self.asked += 1
        if self.answer is None:
            self.silent.append(connection)  # stays open
            return
        try:
            with self.context.wrap_socket(connection, server_side=True) as stream:
                heard = read_request(stream)
                reply = self.answer(heard) if callable(self.answer) else refusal(*self.answer)
                fields = "".join(f"{name}: {value}\r\n" for name, value in reply.fields)
                stream.sendall(f"HTTP/1.1 {reply.status} X\r\nContent-Type: {JSON_TYPE}\r\n{fields}"
                               f"Content-Length: {len(reply.body)}\r\n\r\n".encode() + reply.body)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for connection in self.silent:
            connection.close()


class Middle(FakeKms):
    """Passes requests on to the lab's KMS, which believes them, and its answers back: changed, if a test wants them so. In the simulation
    its host can do this, because it has KMS's certificate; in the cloud it would take one for AWS's name."""

    def __init__(self, lab):
        super().__init__(lab)
        env = lab.environment("user")
        self.target, self.trusted = env["AWS_ENDPOINT_URL_KMS"], ssl.create_default_context(cafile=env["AWS_CA_BUNDLE"])
        self.documents, self.envelopes = [], []
        self.answer = self.relay

    def relay(self, heard):
        keep = ("Content-Type", "X-Amz-Target", "X-Amz-Date", "X-Amz-Security-Token", "Authorization", "Host")
        return self.send({name: heard.fields[name] for name in keep if name in heard.fields}, heard.body)

    def send(self, fields, body):
        request = urllib.request.Request(self.target + "/", data=body, headers=fields, method="POST")
        try:
            with urllib.request.urlopen(request, context=self.trusted, timeout=20) as response:
                reply = Reply(response.status, response.read())
        except urllib.error.HTTPError as error:
            reply = Reply(error.code, error.read())
        self.note(body, reply)
        return reply

    def note(self, body, reply):
        """What a host in this place would keep."""
        recipient = json.loads(body).get("Recipient")
        if recipient:
            self.documents.append(recipient["AttestationDocument"])
        envelope = json.loads(reply.body or b"{}").get("CiphertextForRecipient")
        if envelope:
            self.envelopes.append(envelope)

    def signed(self, credentials, operation, members):
        """Fields and body of a request by whoever has these credentials: a dictionary of the variables that a shell would export."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("POST", self.target + "/", data=json.dumps(members).encode(),
                             headers={"Host": self.target.partition("://")[2], "Content-Type": JSON_TYPE, "X-Amz-Target": f"TrentService.{operation}"})
        key = Credentials(credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"], credentials.get("AWS_SESSION_TOKEN"))
        SigV4Auth(key, "kms", credentials["AWS_REGION"]).add_auth(request)
        prepared = request.prepare()
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in prepared.headers.items()
                if name.lower() != "content-length"}, prepared.body

    def ask(self, credentials, operation, members):
        """A request of the host's own."""
        return self.send(*self.signed(credentials, operation, members))

    def changed(self, change):
        """Answers with what `change` makes of the members of KMS's answer."""

        def answer(heard):
            reply = self.relay(heard)
            return Reply(reply.status, json.dumps(change(json.loads(reply.body))).encode()) if reply.status == 200 else reply

        self.answer = answer
