"""A server where KMS should be, which answers as a test wants it to, or not at all."""

import json
import re
import socket
import ssl
import threading


class FakeKms:
    """Stands where KMS should, with the certificate of the lab's. answer: (status, type, message), or None to say nothing."""

    def __init__(self, lab):
        self.answer, self.asked = None, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(lab.kms / "server.pem", lab.kms / "server.key")
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
                heard = b""
                while b"\r\n\r\n" not in heard:
                    heard += stream.recv(65536)
                head, _, body = heard.partition(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
                while len(body) < length:
                    body += stream.recv(65536)
                status, kind, message = self.answer
                text = json.dumps({"__type": kind, "message": message}).encode()
                stream.sendall(b"HTTP/1.1 %d Refused\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n%s"
                               % (status, len(text), text))
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for connection in self.silent:
            connection.close()
