"""Key policies as owners write them, against the embedded KMS: what each caller may do, and what refusals say."""

import json

import pytest
from kms_accounts import ACCOUNT, Accounts, needs_program, refused

pytestmark = needs_program
ROOT_ARN = f"arn:aws:iam::{ACCOUNT}:root"
IMAGE = "kms:RecipientAttestation:ImageSha384"
HASH = "ab" * 48


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kms")
    made = Accounts(folder / "data")
    iam = folder / "iam.json"
    iam.write_text(json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}}))
    # The host's instance role: its administrator allows KMS in IAM.
    made.add("principal", "instance", "--role", "instance", "--iam-policy", iam)
    yield made
    made.close()


@pytest.fixture
def owner(accounts):
    return accounts.client("owner")


@pytest.fixture
def instance(accounts):
    return accounts.client("instance")


@pytest.fixture
def key(owner):
    return owner.create_key()["KeyMetadata"]["Arn"]


def put(owner, key, *statements):
    everything = {"Sid": "Enable IAM User Permissions", "Effect": "Allow", "Principal": {"AWS": ROOT_ARN}, "Action": "kms:*"}
    policy = {"Version": "2012-10-17", "Statement": [{"Resource": "*", **statement} for statement in (everything, *statements)]}
    owner.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))


def unless(operation, value):
    return {"Sid": "Enclave only", "Effect": "Deny", "Principal": {"AWS": ROOT_ARN}, "Action": "kms:Decrypt",
            "Condition": {operation: {IMAGE: value}}}


def test_the_samples_statements_shut_out_the_host_by_hand(owner, instance, key):
    blob = owner.encrypt(KeyId=key, Plaintext=b"data key")["CiphertextBlob"]
    put(owner, key)
    assert instance.decrypt(CiphertextBlob=blob)["Plaintext"] == b"data key"
    put(owner, key, unless("StringNotEqualsIgnoreCase", HASH))
    for client, arn in ((instance, f"arn:aws:sts::{ACCOUNT}:assumed-role/instance/session"),
                        (owner, f"arn:aws:iam::{ACCOUNT}:user/owner")):
        message = refused("AccessDeniedException", client.decrypt, CiphertextBlob=blob)
        assert message == (f"User: {arn} is not authorized to perform: kms:Decrypt on resource: {key} "
                           "with an explicit deny in a resource-based policy")
    # The Deny is of kms:Decrypt alone: the owner goes on encrypting.
    owner.encrypt(KeyId=key, Plaintext=b"more")


def test_operators_on_the_image_of_a_request_without_a_document(owner, instance, key):
    blob = owner.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for operation, value, denied in (
        ("StringNotEquals", HASH, True),
        ("StringNotLike", "*", True),
        ("StringNotEqualsIfExists", HASH, True),
        ("Null", "true", True),
        ("ForAllValues:StringEquals", HASH, True),
        ("ForAllValues:StringNotEquals", HASH, True),
        ("StringEqualsIfExists", HASH, True),
        ("StringEquals", HASH, False),
        ("StringLike", "*", False),
        ("ForAnyValue:StringNotEquals", HASH, False),
        ("Null", "false", False),
    ):
        put(owner, key, unless(operation, value))
        if denied:
            assert "explicit deny" in refused("AccessDeniedException", instance.decrypt, CiphertextBlob=blob), operation
        else:
            assert instance.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x", operation


def test_encryption_contexts_and_requests(owner, accounts, key):
    host = accounts.client("user")
    role = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/enclave-host"}
    context = {"application": "demo", "release": "2"}
    blob = owner.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    for condition, allowed in (
        ({"StringEquals": {"kms:EncryptionContext:application": "demo", "kms:EncryptionContext:release": ["1", "2"]}}, True),
        ({"StringEquals": {"kms:EncryptionContext:application": "demo", "kms:EncryptionContext:release": ["1", "3"]}}, False),
        ({"StringNotEquals": {"kms:EncryptionContext:release": ["1", "2"]}}, False),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["application", "release"]}}, True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["application"]}}, False),
        ({"StringEquals": {"kms:ViaService": f"s3.eu-central-1.amazonaws.com"}}, False),
        ({"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT", "kms:CallerAccount": ACCOUNT}}, True),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}, "Bool": {"aws:SecureTransport": "true"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00+01:00"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/enclave-*"}}, True),
        ({"StringLike": {"aws:userid": "AROA*:session"}}, True),
        ({"Null": {"aws:username": "true"}}, True),
    ):
        put(owner, key, {"Effect": "Allow", "Principal": role, "Action": "kms:Decrypt", "Condition": condition})
        if allowed:
            assert host.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"x", condition
        else:
            refused("AccessDeniedException", host.decrypt, CiphertextBlob=blob, EncryptionContext=context)


def test_policies_that_are_refused_leave_the_old_one(owner, key):
    before = owner.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    for statement, reason in (
        ({"Effect": "Allow", "NotPrincipal": {"AWS": ROOT_ARN}, "Action": "kms:*"}, "NotPrincipal"),
        ({"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt",
          "Condition": {"StringEquals": {"aws:userid": "${aws:userid}"}}}, "policy variables"),
        ({"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt",
          "Condition": {"StringNotEquals": {"kms:RecipientAttestation:ImageSha348": HASH}}}, "unknown condition key"),
        ({"Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt",
          "Condition": {"DateLessThan": {"aws:CurrentTime": "2026-02-30"}}}, "value that its operator does not take"),
        ({"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/nobody"}, "Action": "kms:*"}, "invalid principals"),
        ({"Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy"}, "will not allow you to update"),
    ):
        with pytest.raises(Exception, match=f"MalformedPolicyDocumentException.*{reason}"):
            put(owner, key, statement)
        assert owner.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == before
