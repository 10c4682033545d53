"""Servers that answer as AWS documents it: the instance's metadata (IMDSv2), a container's credentials, STS. Plain HTTP on loopback."""

import hashlib
import json
import threading
import urllib.parse
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

XMLNS = "https://sts.amazonaws.com/doc/2011-06-15/"
ACCOUNT = "111122223333"
TOKEN_REPEATS = 40  # makes a session's token as long as the real ones
DOCUMENTED_SECONDS = {"AssumeRole": 3600, "AssumeRoleWithWebIdentity": 3600, "GetFederationToken": 43200}


def in_seconds(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def key(name, expires=3600):
    """Credentials that tell where they are from, as a container and an instance answer with them."""
    return {"AccessKeyId": f"ASIA{name.upper():X<16}", "SecretAccessKey": f"{name}/secret+", "Token": f"{name}/token==",
            "Expiration": in_seconds(expires)}


def signed(url, fields, body, secret):
    """The Authorization field that botocore gives a request with these fields, for the key and scope that it names."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    fields = {name.lower(): value for name, value in fields.items()}
    scope, names = (fields["authorization"].partition(part)[2].partition(",")[0] for part in ("Credential=", "SignedHeaders="))
    key_id, _, region, service, _ = scope.split("/")
    request = AWSRequest("POST", url, data=body, headers={name: fields[name] for name in names.split(";")})
    request.context["timestamp"] = fields["x-amz-date"]
    auth = SigV4Auth(Credentials(key_id, secret), service, region)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    heard = auth.signed_headers(auth.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={heard}, Signature={signature}"


class Server:
    """Answers on a port of loopback; `heard` holds (method, path, fields, body) of every request."""

    def __init__(self):
        self.heard = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.heard.append((self.command, self.path, self.headers, body))
                status, kind, text = outer.answer(self.command, self.path, self.headers, body)
                out = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_PUT = do_POST = handle_any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Instance(Server):
    """IMDS of version 2: a token first (PUT, with its lifetime, not through a proxy), then nothing without it."""

    ROLES = "/latest/meta-data/iam/security-credentials/"

    def __init__(self, role="host"):
        self.role, self.document, self.tokens = role, {"Code": "Success", "Type": "AWS-HMAC"} | key("instance"), True
        self.given = set()
        super().__init__()

    def answer(self, method, path, fields, body):
        if method == "PUT" and path == "/latest/api/token":
            return self.token(fields)
        if self.tokens and fields.get("X-aws-ec2-metadata-token") not in self.given:
            return 401, "text/html", ""
        if path == self.ROLES and self.role:
            return 200, "text/plain", self.role
        if path == self.ROLES + str(self.role):
            return 200, "text/plain", json.dumps(self.document)
        return 404, "text/html", ""

    def token(self, fields):
        if not self.tokens:
            return 405, "text/html", ""
        if "X-Forwarded-For" in fields:
            return 403, "text/html", ""
        seconds = fields.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            return 400, "text/html", ""
        self.given.add(f"token-{len(self.given)}")
        return 200, "text/plain", f"token-{len(self.given) - 1}"


class Container(Server):
    """What ECS's agent and EKS Pod Identity's answer; with a token where there is one to be shown."""

    def __init__(self, token=None):
        self.token, self.document = token, {"RoleArn": "TASK_ROLE"} | key("container")
        super().__init__()

    def answer(self, method, path, fields, body):
        if method != "GET" or path != "/v2/credentials/id?x=1":
            return 404, "application/json", json.dumps({"code": "NotFound", "message": path})
        if self.token and fields.get("Authorization") != self.token:
            return 401, "application/json", json.dumps({"code": "AccessDenied", "message": "invalid token"})
        return 200, "application/json", json.dumps(self.document)


class Sts(Server):
    """The query API. Knows whose secrets are whose, checks every signature as botocore makes it, gives sessions named after what was asked.
    refuse: operation → (status, code, message)."""

    def __init__(self):
        self.secrets, self.refuse, self.asked, self.trusts = {}, {}, [], {}
        super().__init__()

    def know(self, key_id, secret, arn, token=None):
        self.secrets[key_id] = (secret, token, arn)

    def answer(self, method, path, fields, body):
        parameters = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        operation = parameters.pop("Action", "")
        if method != "POST" or path != "/" or parameters.pop("Version", "") != "2011-06-15":
            return self.error(400, "InvalidAction", "Could not find operation")
        caller = None
        if operation != "AssumeRoleWithWebIdentity":
            caller, why = self.caller(fields, body)
            if why:
                return self.error(403, *why)
        self.asked.append((operation, caller, parameters))
        if operation in self.refuse:
            return self.error(*self.refuse[operation])
        if operation == "GetCallerIdentity":
            return self.result(operation, f"<Arn>{caller}</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>")
        return self.session(operation, caller, parameters)

    def caller(self, fields, body):
        """The ARN of whoever signed this, or why nobody did."""
        authorization = fields.get("Authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 Credential="):
            return None, ("MissingAuthenticationToken", "Request is missing Authentication Token")
        key_id, _, region, service, _ = authorization.partition("Credential=")[2].partition(",")[0].split("/")
        if key_id not in self.secrets or service != "sts":
            return None, ("InvalidClientTokenId", "The security token included in the request is invalid.")
        secret, token, arn = self.secrets[key_id]
        if fields.get("X-Amz-Security-Token") != token:
            return None, ("InvalidClientTokenId", "The security token included in the request is invalid")
        if authorization != signed(self.url + "/", fields, body, secret):
            return None, ("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
        return arn, None

    def session(self, operation, caller, parameters):
        seconds = int(parameters.get("DurationSeconds", DOCUMENTED_SECONDS.get(operation, 0)))
        if not 900 <= seconds <= 43200 or operation not in DOCUMENTED_SECONDS:
            return self.error(400, "ValidationError", "1 validation error detected")
        if operation == "GetFederationToken":
            if ":user/" not in caller:
                return self.error(403, "AccessDenied", "Cannot call GetFederationToken with session credentials")
            arn = f"arn:aws:sts::{ACCOUNT}:federated-user/{parameters['Name']}"
        else:
            if not 2 <= len(parameters.get("RoleSessionName", "")) <= 64:
                return self.error(400, "ValidationError", "roleSessionName")
            role = parameters["RoleArn"]
            trusted = self.trusts.get(role)
            if trusted is not None and (caller not in trusted or trusted[caller] != parameters.get("ExternalId")):
                return self.error(403, "AccessDenied", f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role}")
            arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.rpartition('/')[2]}/{parameters['RoleSessionName']}"
        name = hashlib.sha256(json.dumps([operation, parameters], sort_keys=True).encode()).hexdigest()[:12]
        made = key(name, seconds) | {"Token": f"{name}/token==" * TOKEN_REPEATS}
        self.know(made["AccessKeyId"], made["SecretAccessKey"], arn, made["Token"])
        members = {"AccessKeyId": made["AccessKeyId"], "SecretAccessKey": made["SecretAccessKey"], "SessionToken": made["Token"],
                   "Expiration": made["Expiration"]}
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in members.items())
        return self.result(operation, f"<Credentials>{inner}</Credentials><PackedPolicySize>6</PackedPolicySize>")

    @staticmethod
    def result(operation, inner):
        return 200, "text/xml", (f'<{operation}Response xmlns="{XMLNS}">\n  <{operation}Result>\n    {inner}\n  </{operation}Result>\n'
                                 f"  <ResponseMetadata>\n    <RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>\n"
                                 f"  </ResponseMetadata>\n</{operation}Response>\n")

    @staticmethod
    def error(status, code, message):
        return status, "text/xml", (f'<ErrorResponse xmlns="{XMLNS}">\n  <Error>\n    <Type>Sender</Type>\n    <Code>{code}</Code>\n'
                                    f"    <Message>{message}</Message>\n  </Error>\n  <RequestId>c6104cbe</RequestId>\n</ErrorResponse>\n")
