"""An embedded KMS with principals of more than one account, as boto3 and raw signed requests see it."""

import os
import re
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

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(os.environ.get("CLOISTER_BUILD", ROOT / "build/dev")) / "bin/cloister-kms"
ACCOUNT, OTHER = "111122223333", "999988887777"
REGION = "eu-central-1"
SECONDS = 20
needs_program = pytest.mark.skipif(not PROGRAM.is_file(), reason=f"SKIP: no {PROGRAM}: run ./dev build dev")


def kms(*words, code=0):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == code, (words, done.returncode, done.stderr)
    return done.stderr if code else done.stdout


def read_env(path):
    script = 'set -a; . "$0"; env -0'
    out = subprocess.run(["/bin/sh", "-c", script, str(path)], env={}, capture_output=True, check=True).stdout
    return dict(item.split("=", 1) for item in out.decode().split("\0") if "=" in item)


class Accounts:
    def __init__(self, directory):
        self.directory = directory
        kms("init", "--dir", directory, "--region", REGION, "--account", ACCOUNT)
        self.process = subprocess.Popen([PROGRAM, "serve", "--dir", directory, "--listen", "tcp://127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.fullmatch(r"listening on (https://\S+)\n", self.process.stdout.readline()).group(1)

    def close(self):
        self.process.terminate()
        self.process.wait(SECONDS)
        self.process.stdout.close()

    def add(self, verb, name, *words, code=0):
        """`principal` or `session`, its credentials in NAME.env."""
        return kms(verb, "--dir", self.directory, "-o", self.directory / f"{name}.env", *words, code=code)

    def client(self, name, **changes):
        env = read_env(self.directory / f"{name}.env")
        arguments = {"endpoint_url": self.url, "region_name": REGION, "verify": env["AWS_CA_BUNDLE"],
                     "aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
                     "aws_session_token": env.get("AWS_SESSION_TOKEN"), "config": Config(retries={"total_max_attempts": 1})}
        return boto3.session.Session().client("kms", **{**arguments, **changes})

    def send(self, name, change):
        """ListKeys, signed and then changed: status, type and message."""
        env = read_env(self.directory / f"{name}.env")
        request = AWSRequest("POST", self.url + "/", data="{}", headers={
            "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"})
        credentials = Credentials(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], env.get("AWS_SESSION_TOKEN"))
        SigV4Auth(credentials, "kms", REGION).add_auth(request)
        change(request.headers)
        answer = URLLib3Session(verify=env["AWS_CA_BUNDLE"]).send(request.prepare())
        return answer.status_code, answer.content.decode()


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    return error.get("Message", "")
