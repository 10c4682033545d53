"""The embedded KMS driven by the published AWS client: whatever boto3 sends and expects is the API."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

BUILD = os.environ.get("CLOISTER_BUILD", "")
ACCOUNT = "111122223333"
REGION = "eu-central-1"
HOST_ROLE = f"arn:aws:iam::{ACCOUNT}:role/enclave-host"
START_TIME = 20  # seconds


def find_program():
    for folder in ("bin", "apps", "."):
        candidate = Path(BUILD) / folder / "cloister-kms"
        if BUILD and candidate.is_file():
            return str(candidate)
    return None


PROGRAM = find_program()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="CLOISTER_BUILD does not name a build folder that holds cloister-kms"
)


def run(*arguments, check=True):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=START_TIME)
    assert not check or done.returncode == 0, done.stderr
    return done


def read_env(path):
    """The file as a shell sees it."""
    script = 'set -a; . "$0"; env -0'
    out = subprocess.run(["/bin/sh", "-c", script, str(path)], env={}, capture_output=True, check=True).stdout
    return dict(item.split("=", 1) for item in out.decode().split("\0") if "=" in item)


class Service:
    def __init__(self, directory):
        self.directory = directory
        self.process = None
        self.url = None

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--dir", str(self.directory), "--listen", "tcp://127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        line = self.process.stdout.readline()
        self.url = re.fullmatch(r"listening on (https://127\.0\.0\.1:\d+)\n", line).group(1)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(START_TIME)
        self.process.stdout.close()
        return code

    def client(self, name, **changes):
        env = read_env(self.directory / f"{name}.env")
        arguments = {
            "endpoint_url": self.url,
            "region_name": env["AWS_REGION"],
            "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
            "verify": env["AWS_CA_BUNDLE"],
            "config": Config(retries={"total_max_attempts": 1}),
        }
        return boto3.session.Session().client("kms", **{**arguments, **changes})

    def raw(self, name, operation, members):
        """One signed request, whatever it says: status and JSON."""
        env = read_env(self.directory / f"{name}.env")
        request = AWSRequest("POST", self.url + "/", data=json.dumps(members), headers={
            "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"})
        credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(credentials, "kms", env["AWS_REGION"]).add_auth(request)
        answer = URLLib3Session(verify=env["AWS_CA_BUNDLE"]).send(request.prepare())
        return answer.status_code, json.loads(answer.content or b"{}")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    directory = tmp_path_factory.mktemp("key service") / "data"
    run("init", "--dir", str(directory), "--region", REGION, "--account", ACCOUNT)
    service = Service(directory)
    service.start()
    yield service
    assert service.end() == 0


@pytest.fixture
def owner(service):
    return service.client("owner")


@pytest.fixture
def host(service):
    return service.client("user")


@pytest.fixture
def key(owner):
    return owner.create_key(Description="a test's")["KeyMetadata"]["Arn"]


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return error.get("Message", "")


def add_statement(owner, key, **statement):
    policy = json.loads(owner.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append({"Resource": "*", **statement})
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def test_init_writes_private_files_and_leaves_a_second_one_alone(service):
    before = {path.name: path.read_bytes() for path in service.directory.glob("*.env")}
    again = run("init", "--dir", str(service.directory))
    assert "left as it is" in again.stdout
    assert {path.name: path.read_bytes() for path in service.directory.glob("*.env")} == before
    for name in ("master.key", "server.key", "owner.env", "user.env", "kms.db"):
        assert (service.directory / name).stat().st_mode & 0o777 == 0o600, name
    env = read_env(service.directory / "user.env")
    assert env["AWS_ENDPOINT_URL_KMS"] == "https://127.0.0.1:8480"
    assert env["AWS_EC2_METADATA_DISABLED"] == "true"
    assert env["AWS_DEFAULT_REGION"] == REGION


def test_keys_and_aliases(owner):
    made = owner.create_key(Description="app", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
    assert made["Arn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{made['KeyId']}"
    assert made["KeyState"] == "Enabled" and made["CreationDate"].year >= 2024
    owner.create_alias(AliasName="alias/boto/app", TargetKeyId=made["KeyId"])
    assert owner.describe_key(KeyId="alias/boto/app")["KeyMetadata"] == made
    keys = [key["KeyId"] for page in owner.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1})
            for key in page["Keys"]]
    assert made["KeyId"] in keys and len(keys) == len(set(keys))
    aliases = owner.list_aliases(KeyId=made["KeyId"])["Aliases"]
    assert [alias["AliasName"] for alias in aliases] == ["alias/boto/app"]
    refused("AlreadyExistsException", owner.create_alias, AliasName="alias/boto/app", TargetKeyId=made["KeyId"])
    refused("NotFoundException", owner.describe_key, KeyId="alias/boto/none")
    refused("UnsupportedOperationException", owner.create_grant, KeyId=made["KeyId"], GranteePrincipal=HOST_ROLE,
            Operations=["Decrypt"])


def test_encrypt_and_decrypt(owner, key):
    context = {"application": "demo", "release": "1"}
    blob = owner.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)["CiphertextBlob"]
    assert b"secret" not in blob
    opened = owner.decrypt(CiphertextBlob=blob, EncryptionContext=context)
    assert opened["Plaintext"] == b"secret" and opened["KeyId"] == key
    refused("InvalidCiphertextException", owner.decrypt, CiphertextBlob=blob)
    refused("InvalidCiphertextException", owner.decrypt, CiphertextBlob=blob, EncryptionContext={**context, "release": "2"})
    refused("InvalidCiphertextException", owner.decrypt, CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]),
            EncryptionContext=context)
    other = owner.create_key()["KeyMetadata"]["Arn"]
    refused("IncorrectKeyException", owner.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)


def test_data_keys(owner, key):
    made = owner.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"a": "1"})
    assert len(made["Plaintext"]) == 32
    assert owner.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "1"})["Plaintext"] == made["Plaintext"]
    bare = owner.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=64)
    assert "Plaintext" not in bare
    assert len(owner.decrypt(CiphertextBlob=bare["CiphertextBlob"])["Plaintext"]) == 64
    assert len(owner.generate_random(NumberOfBytes=16)["Plaintext"]) == 16


def test_the_host_may_do_what_the_owner_allows(owner, host, key):
    context = {"release": "1"}
    blob = owner.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    message = refused("AccessDeniedException", host.decrypt, CiphertextBlob=blob, EncryptionContext=context)
    assert "is not authorized to perform: kms:Decrypt on resource: " + key in message
    add_statement(owner, key, Effect="Allow", Principal={"AWS": HOST_ROLE}, Action="kms:Decrypt",
                  Condition={"StringEquals": {"kms:EncryptionContext:release": ["1"]}})
    assert host.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"
    add_statement(owner, key, Effect="Deny", Principal={"AWS": HOST_ROLE}, Action="kms:Decrypt",
                  Condition={"Null": {"kms:RecipientAttestation:ImageSha384": "true"}})
    message = refused("AccessDeniedException", host.decrypt, CiphertextBlob=blob, EncryptionContext=context)
    assert "explicit deny" in message
    assert owner.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x"


def test_policies_that_cannot_be_kept_are_refused(owner, key):
    for policy in (
        "{}",
        json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*",
                                   "Condition": {"StringAlmostEquals": {"aws:PrincipalArn": "x"}}}]}),
        json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"AWS": HOST_ROLE}, "Action": "kms:*", "Resource": "*"}]}),
    ):
        refused("MalformedPolicyDocumentException", owner.put_key_policy, KeyId=key, PolicyName="default", Policy=policy)
    assert owner.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]


def test_garbage_documents_are_refused(service, owner, key):
    # The model that boto3 ships knows no Recipient: its signer is used alone.
    blob = owner.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    document = base64.b64encode(b"\xd2\x84" + bytes(64)).decode()
    members = {"CiphertextBlob": base64.b64encode(blob).decode(),
               "Recipient": {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}}
    status, answer = service.raw("owner", "Decrypt", members)
    assert status == 400 and answer["__type"] == "ValidationException", answer
    del members["Recipient"]
    status, answer = service.raw("owner", "Decrypt", members)
    assert status == 200 and base64.b64decode(answer["Plaintext"]) == b"x"


def test_wrong_credentials_are_refused(service):
    refused("InvalidSignatureException", service.client("owner", aws_secret_access_key="x" * 40).list_keys)
    refused("UnrecognizedClientException", service.client("owner", aws_access_key_id="AKIAAAAAAAAAAAAAAAAA").list_keys)
    refused("UnrecognizedClientException", service.client("owner", aws_session_token="token").list_keys)
    refused("InvalidSignatureException", service.client("owner", region_name="us-west-2").list_keys)


def test_the_certificate_is_checked_by_name(service):
    port = service.url.rsplit(":", 1)[1]
    try:
        socket.getaddrinfo("localhost", port)
    except socket.gaierror:
        pytest.skip("SKIP: this machine does not know the name localhost")
    assert "Keys" in service.client("owner", endpoint_url=f"https://localhost:{port}").list_keys()
    with pytest.raises(Exception, match="(?i)certificate verify failed"):
        service.client("owner", verify=True).list_keys()


def test_the_command_line_client_works(service):
    env = {**read_env(service.directory / "owner.env"), "PATH": os.environ["PATH"], "HOME": str(service.directory)}
    # Debian 12's aws does not know AWS_ENDPOINT_URL_KMS yet.
    out = subprocess.run(["aws", "--endpoint-url", service.url, "kms", "create-key", "--output", "json"], env=env,
                         capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["KeyMetadata"]["Enabled"] is True


def test_one_process_serves_a_directory(service):
    second = run("serve", "--dir", str(service.directory), "--listen", "tcp://127.0.0.1:0", check=False)
    assert second.returncode == 1 and "another process" in second.stderr


def test_kill_loses_no_key(tmp_path):
    run("init", "--dir", str(tmp_path / "k"))
    service = Service(tmp_path / "k")
    made = []
    for _ in range(3):
        service.start()
        owner = service.client("owner")
        made += [owner.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)]
        owner.create_alias(AliasName=f"alias/{made[-1]}", TargetKeyId=made[-1])
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
    service.start()
    owner = service.client("owner")
    assert {key["KeyId"] for key in owner.list_keys()["Keys"]} == set(made)
    assert len(owner.list_aliases()["Aliases"]) == 3
    assert service.end() == 0


def test_detach_and_stop(tmp_path):
    run("init", "--dir", str(tmp_path / "k"))
    pid_file = tmp_path / "pid"
    missing = tmp_path / "root.pem"
    started = run("serve", "--dir", str(tmp_path / "k"), "--listen", "tcp://127.0.0.1:0", "--detach",
                  "--pid-file", str(pid_file), "--development-root", str(missing))
    try:
        assert started.stdout.startswith("listening on https://127.0.0.1:")
        assert "development root" in started.stderr
        pid = int(pid_file.read_text())
        os.kill(pid, 0)
    finally:
        stopped = run("stop", "--dir", str(tmp_path / "k"), check=False)
    assert stopped.returncode == 0, stopped.stderr
    assert not pid_file.exists()
    assert run("stop", "--dir", str(tmp_path / "k"), check=False).returncode == 1


def test_plain_http_is_for_loopback_only(tmp_path):
    run("init", "--dir", str(tmp_path / "k"))
    refused_there = run("serve", "--dir", str(tmp_path / "k"), "--http", "--listen", "tcp://0.0.0.0:0", check=False)
    assert refused_there.returncode == 1 and "loopback" in refused_there.stderr


def test_usage_errors():
    assert run(check=False).returncode == 2
    assert run("serve", check=False).returncode == 2
    assert run("serve", "--dir", "/nonexistent", check=False).returncode == 1


def test_principals_can_be_added(service, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"Statement": {"Effect": "Allow", "Action": "kms:List*", "Resource": "*"}}))
    env_file = service.directory / "reader.env"
    run("principal", "--dir", str(service.directory), "--user", "reader", "--iam-policy", str(policy), "-o", str(env_file))
    reader = service.client("reader")
    assert "Keys" in reader.list_keys()
    refused("AccessDeniedException", reader.create_key)
