"""Who the embedded KMS lets in: users, roles, sessions of roles and their policies, accounts."""

import json
import re
import time

import pytest
from kms_accounts import ACCOUNT, OTHER, Accounts, needs_program, read_env, refused

pytestmark = needs_program


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    made = Accounts(tmp_path_factory.mktemp("kms") / "data")
    yield made
    made.close()


@pytest.fixture
def key(accounts):
    return accounts.client("owner").create_key()["KeyMetadata"]["Arn"]


def write(tmp_path, name, **statement):
    file = tmp_path / name
    file.write_text(json.dumps({"Version": "2012-10-17", "Statement": {"Resource": "*", **statement}}))
    return file


def allow(accounts, key, principal, actions):
    owner = accounts.client("owner")
    policy = json.loads(owner.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    policy["Statement"].append({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions, "Resource": "*"})
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def test_a_session_is_its_role_under_its_own_name(accounts, key):
    accounts.add("session", "job", "--role", "enclave-host", "--name", "job-7", "--duration", "900")
    env = read_env(accounts.directory / "job.env")
    assert re.fullmatch("ASIA[A-Z2-7]{16}", env["AWS_ACCESS_KEY_ID"]) and env["AWS_SESSION_TOKEN"]
    assert (accounts.directory / "job.env").stat().st_mode & 0o777 == 0o600
    job = accounts.client("job")
    message = refused("AccessDeniedException", job.describe_key, KeyId=key)
    assert f"User: arn:aws:sts::{ACCOUNT}:assumed-role/enclave-host/job-7 is not authorized" in message
    allow(accounts, key, f"arn:aws:iam::{ACCOUNT}:role/enclave-host", "kms:DescribeKey")
    assert job.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key


def test_the_key_policy_may_name_one_session(accounts, key):
    for name in ("one", "two"):
        accounts.add("session", name, "--role", "enclave-host", "--name", f"job-{name}")
    allow(accounts, key, f"arn:aws:sts::{ACCOUNT}:assumed-role/enclave-host/job-one", "kms:DescribeKey")
    accounts.client("one").describe_key(KeyId=key)
    refused("AccessDeniedException", accounts.client("two").describe_key, KeyId=key)


def test_a_session_policy_narrows(accounts, key, tmp_path):
    policy = write(tmp_path, "narrow.json", Effect="Allow", Action="kms:Decrypt")
    accounts.add("session", "narrow", "--role", "enclave-host", "--session-policy", policy)
    allow(accounts, key, f"arn:aws:iam::{ACCOUNT}:role/enclave-host", ["kms:Encrypt", "kms:Decrypt"])
    narrow = accounts.client("narrow")
    blob = accounts.client("user").encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert narrow.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    message = refused("AccessDeniedException", narrow.encrypt, KeyId=key, Plaintext=b"x")
    assert message.endswith("because no session policy allows the kms:Encrypt action")


def test_tokens_that_do_not_fit_are_refused(accounts):
    accounts.add("session", "mine", "--role", "enclave-host")
    accounts.add("session", "other", "--role", "enclave-host")
    mine, other = (read_env(accounts.directory / f"{name}.env") for name in ("mine", "other"))
    owner = read_env(accounts.directory / "owner.env")
    for change in (
        {"aws_session_token": None},
        {"aws_session_token": other["AWS_SESSION_TOKEN"]},
        {"aws_session_token": "FwoGZXIvYXdzEXAMPLE"},
        {"aws_access_key_id": owner["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": owner["AWS_SECRET_ACCESS_KEY"]},
    ):
        message = refused("UnrecognizedClientException", accounts.client("mine", **change).list_keys)
        assert message == "The security token included in the request is invalid."
    refused("InvalidSignatureException", accounts.client("mine", aws_secret_access_key=other["AWS_SECRET_ACCESS_KEY"]).list_keys)
    assert refused("AccessDeniedException", accounts.client("mine", aws_session_token=mine["AWS_SESSION_TOKEN"]).list_keys)


def test_what_session_refuses(accounts, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    for words, reason in (
        (["--role", "nobody"], "does not exist"),
        (["--role", "enclave-host", "--account", OTHER], "does not exist"),
        (["--role", "enclave-host", "--duration", "899"], "lasts 900 to 43200 seconds"),
        (["--role", "enclave-host", "--duration", "43201"], "lasts 900 to 43200 seconds"),
        (["--role", "enclave-host", "--name", "a b"], "2 to 64 letters"),
        (["--role", "enclave-host", "--session-policy", bad], "no Statement"),
    ):
        assert reason in accounts.add("session", "never", *words, code=1), words
    assert not (accounts.directory / "never.env").exists()


def test_another_account_needs_both_sides(accounts, key, tmp_path):
    policy = write(tmp_path, "use.json", Effect="Allow", Action="kms:*")
    accounts.add("principal", "guest", "--role", "host", "--account", OTHER, "--iam-policy", policy)
    accounts.add("principal", "bare", "--role", "bare", "--account", OTHER)
    guest, bare = accounts.client("guest"), accounts.client("bare")
    assert refused("AccessDeniedException", guest.encrypt, KeyId=key, Plaintext=b"x").endswith(
        "because no resource-based policy allows the kms:Encrypt action")
    allow(accounts, key, [f"arn:aws:iam::{OTHER}:role/host", f"arn:aws:iam::{OTHER}:role/bare"], "kms:*")
    blob = guest.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert guest.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert refused("AccessDeniedException", bare.encrypt, KeyId=key, Plaintext=b"x").endswith(
        "because no identity-based policy allows the kms:Encrypt action")
    # Managing a key stays with its account, whatever the policies say, and so does making one.
    refused("AccessDeniedException", guest.disable_key, KeyId=key)
    refused("AccessDeniedException", guest.create_key)
    refused("AccessDeniedException", guest.list_keys)


def test_what_principal_refuses(accounts, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}}))
    for words, reason in (
        (["--user", "owner"], "exists"),
        (["--user", "a/b"], "letters, digits"),
        (["--user", "u", "--account", "12"], "12 digits"),
        (["--role", "r", "--trust-policy", bad], "names no principal"),
        (["--user", "u", "--trust-policy", bad], "no trust policy"),
    ):
        assert reason in accounts.add("principal", "never", *words, code=1), words


def test_requests_that_are_not_signed_as_aws_wants(accounts):
    def authorization(old, new):
        def change(headers):
            value = headers["Authorization"]
            assert old in value
            del headers["Authorization"]
            headers["Authorization"] = value.replace(old, new, 1)
        return change

    def drop(name):
        return lambda headers: headers.__delitem__(name)

    def date(value):
        def change(headers):
            del headers["X-Amz-Date"]
            headers["X-Amz-Date"] = value
        return change

    today = time.strftime("%Y%m%d", time.gmtime())
    for change, kind, message in (
        (drop("Authorization"), "MissingAuthenticationTokenException", "Missing Authentication Token"),
        (authorization("AWS4-HMAC-SHA256", "Bearer"), "IncompleteSignatureException", "requires 'Credential' parameter"),
        (drop("X-Amz-Date"), "IncompleteSignatureException", "existence of either a 'X-Amz-Date' or a 'Date' header"),
        (date("yesterday"), "IncompleteSignatureException", "Date must be in ISO-8601 'basic format'"),
        (date("20200101T000000Z"), "InvalidSignatureException", "Date in Credential scope does not match"),
        (date(f"{today}T000000Z") if time.gmtime().tm_hour > 0 else date(f"{today}T235959Z"),
         "InvalidSignatureException", "Signature "),
        (authorization("host;", ""), "InvalidSignatureException", "must be a 'SignedHeader'"),
        (authorization(";x-amz-target", ""), "IncompleteSignatureException", "x-amz-target"),
        (authorization("/kms/", "/s3/"), "InvalidSignatureException", "correct service: 'kms'"),
        (authorization("eu-central-1", "us-west-2"), "InvalidSignatureException", "valid region, not 'us-west-2'"),
        (authorization("Signature=", "Signature=0"), "IncompleteSignatureException", "Signature"),
    ):
        status, body = accounts.send("owner", change)
        assert status == 400 and f'"__type":"{kind}"' in body and message in body, body
    assert accounts.send("owner", lambda headers: None)[0] == 200
