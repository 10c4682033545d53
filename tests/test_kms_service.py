"""The embedded KMS as a service: its files, its certificate, who may speak to it, how it starts and ends."""

import json
import os
import socket

import pytest
from botocore.exceptions import ClientError

from kms_service import REGION, WHY_NOT, Service, read_env, run

pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("key service") / "data")
    service.start()
    yield service
    assert service.end() == 0


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code, caught.value.response


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


def test_one_process_serves_a_directory(service):
    second = run("serve", "--dir", str(service.directory), "--listen", "tcp://127.0.0.1:0", check=False)
    assert second.returncode == 1 and "another process" in second.stderr


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
