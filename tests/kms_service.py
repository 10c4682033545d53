"""The embedded KMS as a process of its own, and the published clients that talk to it: boto3 and the AWS CLI."""

import base64
import functools
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import boto3
import botocore
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("CLOISTER_BUILD", ROOT / "build" / "dev")).resolve()
ACCOUNT = "111122223333"
REGION = "eu-central-1"
HOST_ROLE = f"arn:aws:iam::{ACCOUNT}:role/enclave-host"
START_TIME = 20  # seconds
CLI_TIME = 40  # seconds; a command takes about one
BLOBS = ("CiphertextBlob", "Plaintext", "CiphertextForRecipient")


def find_program(name):
    for folder in ("bin", "apps", "."):
        candidate = BUILD / folder / name
        if candidate.is_file():
            return str(candidate)
    return None


PROGRAM = find_program("cloister-kms")
WHY_NOT = None if PROGRAM else f"no cloister-kms in {BUILD}: run ./dev build, or set CLOISTER_BUILD"


def run(*arguments, check=True):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=START_TIME)
    assert not check or done.returncode == 0, done.stderr
    return done


def read_env(path):
    """The file as a shell sees it."""
    script = 'set -a; . "$0"; env -0'
    out = subprocess.run(["/bin/sh", "-c", script, str(path)], env={}, capture_output=True, check=True).stdout
    return dict(item.split("=", 1) for item in out.decode().split("\0") if "=" in item)


class Service:
    def __init__(self, directory, *options):
        self.directory = Path(directory)
        self.options = options
        self.process = None
        self.url = None
        if not self.directory.exists():
            run("init", "--dir", self.directory, "--region", REGION, "--account", ACCOUNT)

    def start(self, program=PROGRAM):
        self.process = subprocess.Popen(
            [program, "serve", "--dir", str(self.directory), "--listen", "tcp://127.0.0.1:0", *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        line = self.process.stdout.readline()
        self.url = re.fullmatch(r"listening on (https?://127\.0\.0\.1:\d+)\n", line).group(1)

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
            "config": Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        }
        return boto3.session.Session().client("kms", **{**arguments, **changes})

    def send(self, name, operation, body):
        """One signed request, whatever it says: the answer as it came."""
        env = read_env(self.directory / f"{name}.env")
        request = AWSRequest("POST", self.url + "/", data=body, headers={
            "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"TrentService.{operation}"})
        credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(credentials, "kms", env["AWS_REGION"]).add_auth(request)
        return URLLib3Session(verify=env["AWS_CA_BUNDLE"]).send(request.prepare())

    def raw(self, name, operation, members):
        answer = self.send(name, operation, json.dumps(members))
        return answer.status_code, json.loads(answer.content or b"{}")


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


def words(name):
    """CreateKey → create-key"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


class Boto:
    """boto3, called by the names of the API."""

    def __init__(self, service, name, _folder):
        self.client = service.client(name)

    def __call__(self, operation, **members):
        try:
            return getattr(self.client, words(operation).replace("-", "_"))(**members)
        except ClientError as error:
            told = error.response["Error"]
            raise Refused(told["Code"], told.get("Message", "")) from error

    @staticmethod
    def why_not(recent=False):
        version = tuple(map(int, botocore.__version__.split(".")[:2]))
        return "SKIP: this boto3 is too old for Recipient and RotateKeyOnDemand" if recent and version < (1, 35) else None


class Cli:
    """An aws program, called by the names of the API."""

    program = None

    def __init__(self, service, name, folder):
        self.folder = Path(folder)
        self.count = 0
        keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env = {**keep, **read_env(service.directory / f"{name}.env"), "HOME": str(folder), "AWS_PAGER": "",
                    "LC_ALL": "C.UTF-8", **self.environment()}
        self.url = service.url

    @staticmethod
    def environment():
        return {}

    def blob(self, content):
        self.count += 1
        path = self.folder / f"blob-{self.count}"
        path.write_bytes(content)
        return f"fileb://{path}"

    def recipient(self, value):
        """Version 2 takes blobs within structures as base64."""
        return json.dumps({**value, "AttestationDocument": base64.b64encode(value["AttestationDocument"]).decode()})

    def option(self, name, value):
        if isinstance(value, bool):
            return [f"--{'' if value else 'no-'}{words(name)}"]
        if name == "Recipient":
            text = self.recipient(value)
        elif isinstance(value, bytes):
            text = self.blob(value)
        elif isinstance(value, (dict, list)):
            text = json.dumps(value)
        else:
            text = str(value)
        return [f"--{words(name)}", text]

    def __call__(self, operation, **members):
        options = [word for name, value in members.items() for word in self.option(name, value)]
        done = subprocess.run([*self.program, "--endpoint-url", self.url, "--output", "json", "kms", words(operation), *options],
                              env=self.env, capture_output=True, text=True, timeout=CLI_TIME)
        if done.returncode != 0:
            told = re.search(r"An error occurred \((\w+)\) when calling the \w+ operation(?: \(.*\))?: ?(.*)", done.stderr)
            assert told, done.stderr
            raise Refused(told[1], told[2])
        answer = json.loads(done.stdout or "{}")
        return {name: base64.b64decode(value) if name in BLOBS else value for name, value in answer.items()}

    @classmethod
    @functools.cache
    def version(cls):
        done = subprocess.run([*cls.program, "--version"], capture_output=True, text=True, timeout=CLI_TIME,
                              env={**os.environ, **cls.environment()})
        told = re.match(r"aws-cli/(\d+)\.(\d+)", done.stdout)
        return (int(told[1]), int(told[2])) if told else None


class CliV1(Cli):
    program = [str(ROOT / ".venv/bin/aws")]

    def recipient(self, value):
        document = self.blob(value["AttestationDocument"])
        return f"KeyEncryptionAlgorithm={value['KeyEncryptionAlgorithm']},AttestationDocument@={document}"

    @classmethod
    def why_not(cls, recent=False):
        here = Path(cls.program[0]).is_file()
        return None if here else "SKIP: no AWS CLI of tests/requirements.txt in .venv"


class CliV2(Cli):
    """Debian's. The one of bookworm is too old for Recipient; ./dev test unpacks that of the backports beside it."""

    program = [shutil.which("aws", path="/usr/bin") or "/usr/bin/aws"]

    @classmethod
    def why_not(cls, recent=False):
        if not Path(cls.program[0]).is_file():
            return "SKIP: Debian's awscli is not installed"
        if recent and cls.version() < (2, 16):
            return "SKIP: Debian's aws is too old for Recipient and RotateKeyOnDemand"
        return None


class CliV2Backport(Cli):
    folder_of_packages = ROOT / ".cache" / "awscli-backport"
    program = ["/usr/bin/python3", str(folder_of_packages / "usr/bin/aws")]

    @classmethod
    def environment(cls):
        return {"PYTHONPATH": str(cls.folder_of_packages / "usr/lib/python3/dist-packages")}

    @classmethod
    def why_not(cls, recent=False):
        here = Path(cls.program[1]).is_file() and cls.version()
        return None if here else "SKIP: no awscli of Debian's backports in .cache (./dev test fetches it)"


CLIENTS = {"boto3": Boto, "aws-1": CliV1, "aws-2": CliV2, "aws-2-backport": CliV2Backport}
